package room

import (
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// FuzzDirectoryToken reads tokens that anybody may send: what is understood is understood in the same way again.
func FuzzDirectoryToken(f *testing.F) {
	f.Add(directoryToken('n', &store.DirectoryRoom{Joined: 5, RoomID: "!a:b"}))
	f.Add(directoryToken('p', &store.DirectoryRoom{Joined: 0, RoomID: "!with space:b"}))
	f.Add("")
	f.Add("bm8")
	f.Fuzz(func(t *testing.T, token string) {
		from, backwards, err := readDirectoryToken(token)
		if err != nil {
			if code(err) != "M_INVALID_PARAM" {
				t.Fatalf("got %v", err)
			}
			return
		}
		direction := byte('n')
		if backwards {
			direction = 'p'
		}
		again, back, err := readDirectoryToken(directoryToken(direction, from))
		if err != nil || *again != *from || back != backwards {
			t.Fatalf("%q: got %v, %t, %v, then %v, %t", token, from, backwards, err, again, back)
		}
	})
}

// TestDirectoryBounds asks for more than there may be.
func TestDirectoryBounds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		long := make([]byte, 40_000)
		for i := range long {
			long[i] = 'x'
		}
		const rooms = 60
		for range rooms {
			mustCreate(t, s, CreateRequest{Visibility: "public", Topic: string(long[:20_000]), RoomVersion: "11"})
		}
		page, err := s.Directory(t.Context(), DirectoryRequest{Limit: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Chunk) == rooms || len(page.Chunk) < 40 || page.Next == "" || page.Total != rooms {
			t.Errorf("got %d rooms of %d, %q", len(page.Chunk), page.Total, page.Next)
		}
		rest, err := s.Directory(t.Context(), DirectoryRequest{Since: page.Next})
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[id.RoomID]bool)
		for _, e := range append(page.Chunk, rest.Chunk...) {
			seen[e.RoomID] = true
		}
		if len(seen) != rooms || rest.Next != "" {
			t.Errorf("got %d different rooms, then %q", len(seen), rest.Next)
		}
		for name, in := range map[string]DirectoryRequest{
			"a limit below zero": {Limit: -1}, "a token": {Since: "!"}, "a network with a NUL": {Network: "a\x00"},
			"a network too long": {Network: string(long)}, "a term too long": {Term: string(long)}, "types": {RoomTypes: make([]*string, 51)},
		} {
			if _, err := s.Directory(t.Context(), in); code(err) != "M_INVALID_PARAM" {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

// TestPlainTopic reads topics of both forms.
func TestPlainTopic(t *testing.T) {
	version, err := event.LookupVersion("11")
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]string{
		`{}`: "", `{"topic":"a"}`: "a", `{"topic":1}`: "",
		`{"m.topic":{"m.text":[{"body":"<b>","mimetype":"text/html"},{"body":"plain"}]}}`: "plain",
		`{"m.topic":{"m.text":[{"body":"p","mimetype":"text/plain"}]},"topic":""}`:        "p",
		`{"m.topic":{"m.text":[{"body":"<b>","mimetype":"text/html"}]}}`:                  "",
		`{"m.topic":[]}`: "", `{"m.topic":{"m.text":[{"body":1}]}}`: "",
	} {
		b := event.Builder{RoomID: "!x:test", Sender: alice, Type: typeTopic, StateKey: new(""), Content: []byte(content), Depth: 1}
		pdu, err := b.Build(version, newService(nil).Key)
		if err != nil {
			t.Fatal(err)
		}
		if got := plainTopic(pdu); got != want {
			t.Errorf("%s: got %q, want %q", content, got, want)
		}
	}
}

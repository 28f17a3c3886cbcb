package signalling

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
)

func ptrTo[T any](v T) *T { return &v }

// TestBytes has messages that were written out by hand: tags are number<<3 | wire type.
func TestBytes(t *testing.T) {
	for name, test := range map[string]struct {
		message any
		want    string
	}{
		"empty": {&SignalResponse{}, ""},
		"trickle": {
			&SignalRequest{Trickle: &TrickleRequest{CandidateInit: "{}", Target: Subscriber, Final: true}},
			"1a08" + "0a027b7d" + "1001" + "1801",
		},
		"zero values of a oneof": {&SignalRequest{Leave: &LeaveRequest{}}, "4200"},
		"a ping of old clients":  {&SignalRequest{Ping: ptrTo(int64(300))}, "70ac02"},
		"a map":                  {&SessionDescription{MIDToTrackID: map[string]string{"1": "b", "0": "a"}}, "22060a0130120161" + "22060a0131120162"},
		"packed numbers":         {&ParticipantPermission{CanPublishSources: []TrackSource{Camera, ScreenShare}}, "4a020103"},
		"a float":                {&SpeakerInfo{SID: "a", Level: 0.5, Active: true}, "0a0161" + "150000003f" + "1801"},
		"a negative number":      {&VideoLayer{SpatialLayer: -1}, "30ffffffffffffffffff01"},
		"an optional zero":       {&ConnectionSettings{SubscriberAllowPause: ptrTo(false)}, "1800"},
		"a message in a list":    {&ParticipantUpdate{Participants: []*ParticipantInfo{{SID: "x"}, {}}}, "0a030a0178" + "0a00"},
	} {
		got := hex.EncodeToString(Marshal(test.message))
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
		b, _ := hex.DecodeString(test.want)
		back := reflect.New(reflect.TypeOf(test.message).Elem()).Interface()
		if err := Unmarshal(b, back); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(back, test.message) {
			t.Errorf("%s: got %+v back, want %+v", name, back, test.message)
		}
	}
}

// TestRest has a message that we know a part of pass as it is.
func TestRest(t *testing.T) {
	chat, _ := hex.DecodeString("4a0668656c6c6f21") // field 9, which we have no name for
	in := append(chat, Marshal(&DataPacket{ParticipantIdentity: "mallory", Sequence: 3})...)
	var p DataPacket
	if err := Unmarshal(in, &p); err != nil {
		t.Fatal(err)
	}
	p.ParticipantIdentity = "alice"
	out := Marshal(&p)
	if !bytes.Contains(out, chat) || !bytes.Contains(out, []byte("alice")) || bytes.Contains(out, []byte("mallory")) {
		t.Errorf("got %x", out)
	}
}

// TestFaults has bytes that are no messages.
func TestFaults(t *testing.T) {
	deep := []byte{}
	for range 40 {
		deep = Marshal(&UserPacket{Payload: deep})
	}
	for name, test := range map[string]struct {
		bytes   string
		message any
		want    string
	}{
		"cut off":                {"1a08", &SignalRequest{}, "field 3"},
		"no tag":                 {"ff", &SignalRequest{}, "tag"},
		"text that is not UTF-8": {"0a02fffe", &TrickleRequest{}, "UTF-8"},
		"a number for a text":    {"0801", &TrickleRequest{}, "wire type"},
		"a text for a number":    {"120161", &TrickleRequest{}, "wire type"},
		"field 0":                {"00", &SignalRequest{}, "tag"},
		"too many elements":      {strings.Repeat("0a00", maxElements+1), &ParticipantUpdate{}, "too many"},
		"too many packed":        {"4a81c001" + strings.Repeat("01", 24577), &ParticipantPermission{}, "too many"},
	} {
		b, err := hex.DecodeString(test.bytes)
		if err != nil {
			t.Fatal(name, err)
		}
		err = Unmarshal(b, test.message)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want one with %q", name, err, test.want)
		}
	}
}

// TestUnknownFields has newer fields skipped.
func TestUnknownFields(t *testing.T) {
	b, _ := hex.DecodeString("a20601aa" + "f03f01" + "0a0178")
	var s SpeakerInfo
	if err := Unmarshal(b, &s); err != nil || s.SID != "x" {
		t.Errorf("got %+v, %v", s, err)
	}
}

// FuzzUnmarshal has strangers' bytes read into everything that strangers send: what can be read is written and read as the same.
func FuzzUnmarshal(f *testing.F) {
	f.Add(Marshal(&SignalRequest{AddTrack: &AddTrackRequest{CID: "c", Layers: []VideoLayer{{Quality: High, Width: 1}}, AudioFeatures: []int32{1}}}))
	f.Add(Marshal(&JoinRequest{ParticipantAttributes: map[string]string{"a": "b"}, SyncState: &SyncState{DataChannels: []DataChannelInfo{{Label: "x"}}}}))
	f.Add(Marshal(&DataPacket{User: &UserPacket{Payload: []byte("x"), Rest: []byte{0x50, 1}}, Sequence: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range []any{&SignalRequest{}, &JoinRequest{}, &WrappedJoinRequest{}, &DataPacket{}} {
			if Unmarshal(b, m) != nil {
				continue
			}
			once := Marshal(m)
			again := reflect.New(reflect.TypeOf(m).Elem()).Interface()
			if err := Unmarshal(once, again); err != nil {
				t.Fatalf("what was written cannot be read: %v", err)
			}
			if twice := Marshal(again); !bytes.Equal(once, twice) {
				t.Fatalf("%T: wrote %x, then %x", m, once, twice)
			}
		}
	})
}

func BenchmarkDataPacket(b *testing.B) {
	in := Marshal(&DataPacket{ParticipantIdentity: "alice", User: &UserPacket{Payload: make([]byte, 1000)}})
	b.ReportAllocs()
	for b.Loop() {
		var p DataPacket
		if err := Unmarshal(in, &p); err != nil {
			b.Fatal(err)
		}
		Marshal(&p)
	}
}

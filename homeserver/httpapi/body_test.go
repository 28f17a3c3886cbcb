package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"maunium.net/go/mautrix"
)

func TestReadBodyThenDecode(t *testing.T) {
	r := &Request{
		Request: httptest.NewRequest("POST", "/", strings.NewReader(`{"name":"x"}`)),
		mux:     NewMux(nil, Options{}), endpoint: &noEndpoint, w: httptest.NewRecorder(),
	}
	for range 2 {
		body, err := r.ReadBody()
		if string(body) != `{"name":"x"}` || err != nil {
			t.Fatalf("got %s %v", body, err)
		}
	}
	var in echoIn
	if err := r.Decode(&in); in.Name != "x" || err != nil {
		t.Errorf("got %v %v, want the name", in, err)
	}
}

func TestFieldsOfOwnForm(t *testing.T) {
	err := decodeError(errors.New("json: invalid use of something"))
	if !errors.Is(err, mautrix.MBadJSON) {
		t.Errorf("got %v, want M_BAD_JSON", err)
	}
}

// FuzzDecode holds every body to the same contract: it is decoded, or refused
// as the client's fault, and json.Valid agrees about which.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"name":"a","age":1}`, `[]`, `null`, `{"name":1}`, `{"sub":{"sub":{}}}`, deep(200),
		"{\"name\":\"\xff\"}", `{"name":"\ud800"}`, `{"a":"\"[[[["}`, `{"age":1e99}`, ` { } x`, "\ufeff{}",
	} {
		f.Add([]byte(seed))
	}
	mux := NewMux(nil, Options{MaxBody: 4096})
	f.Fuzz(func(t *testing.T, body []byte) {
		var typed echoIn
		var raw json.RawMessage
		for _, v := range []any{&typed, &raw} {
			r := &Request{
				Request: httptest.NewRequest("POST", "/", bytes.NewReader(body)),
				mux:     mux, endpoint: &noEndpoint, w: httptest.NewRecorder(),
			}
			err := r.Decode(v)
			if err == nil && (len(body) > 4096 || !json.Valid(body)) {
				t.Fatalf("accepted %q", body)
			}
			if e, ok := visible(err); err != nil && (!ok || e.StatusCode < 400 || e.StatusCode >= 500) {
				t.Fatalf("got %v, want an error of the client", err)
			}
		}
	})
}

// TestBuffersAreNotShared runs requests against each other whose bodies and
// answers would show up in each other if a buffer were released too early.
func TestBuffersAreNotShared(t *testing.T) {
	mux := testMux(io.Discard)
	for i := range 8 {
		name := strings.Repeat(string(rune('a'+i)), 100+i*300)
		t.Run(name[:1], func(t *testing.T) {
			t.Parallel()
			for range 200 {
				for _, path := range []string{"/echo", "/raw-echo"} {
					recorder := httptest.NewRecorder()
					mux.ServeHTTP(recorder, httptest.NewRequest("POST", path, strings.NewReader(`{"name":"`+name+`"}`)))
					var out echoIn
					if err := json.Unmarshal(recorder.Body.Bytes(), &out); err != nil || out.Name != name {
						t.Fatalf("got %s %v, want %s", recorder.Body, err, name)
					}
				}
			}
		})
	}
}

func BenchmarkSend(b *testing.B) {
	type sent struct {
		EventID string `json:"event_id"`
	}
	mux := NewMux([]Route{{"PUT", "/_matrix/client/(v3|r0)/rooms/{roomId}/send/{eventType}/{txnId}", User,
		JSON(func(context.Context, *Request, json.RawMessage) (sent, error) {
			return sent{"$abcdefghijklmnopqrstuvwxyz0123456789abcdefg"}, nil
		})}}, Options{Identifier: people})
	body := []byte(`{"msgtype":"m.text","body":"hello there, this is a message of the usual length"}`)
	request := httptest.NewRequest("PUT", "/_matrix/client/v3/rooms/!abc:hs/send/m.room.message/1", nil)
	request.Header.Set("Authorization", "Bearer alice")
	b.ReportAllocs()
	for b.Loop() {
		request.Body = io.NopCloser(bytes.NewReader(body))
		request.ContentLength = int64(len(body))
		mux.ServeHTTP(httptest.NewRecorder(), request)
	}
}

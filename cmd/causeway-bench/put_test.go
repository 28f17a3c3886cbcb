package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// BenchmarkPut is what one message costs here, with a server that does nothing.
func BenchmarkPut(b *testing.B) {
	idle := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"event_id":"$x"}`)
	}))
	defer idle.Close()
	base, err := url.Parse(idle.URL)
	if err != nil {
		b.Fatal(err)
	}
	s := newSite(base)
	defer s.close()
	p, err := s.newPutter(b.Context(), &user{token: "t"}, "!room:x", 64)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if err := p.put(s.mark("b", n)); err != nil {
			b.Fatal(err)
		}
	}
}

package testserver_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/testserver"

	"github.com/rs/zerolog"
)

const (
	msc4108 = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous"
	msc4388 = "/_matrix/client/unstable/io.element.msc4388/rendezvous"
)

// send makes a request with headers, "Name: value" each.
func (s *script) send(method, path, body string, headers ...string) testserver.Answer {
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(body))
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return testserver.Answer{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}
}

const asText = "Content-Type: text/plain"

// meet begins a session of MSC4108, and returns its path and ETag.
func (s *script) meet(body string) (path, etag string) {
	s.t.Helper()
	a := s.send("POST", msc4108, body, asText)
	var out struct{ URL string }
	a.Decode(s.t, &out)
	u, err := url.Parse(out.URL)
	if a.Status != http.StatusCreated || err != nil || !strings.HasPrefix(out.URL, "http://test"+msc4108+"/") {
		s.t.Fatalf("%d %s", a.Status, a.Body)
	}
	s.wantCommon(a)
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		s.t.Errorf("Content-Type %s", got)
	}
	return u.Path, a.Header.Get("ETag")
}

// wantCommon demands the common headers of MSC4108's answers.
func (s *script) wantCommon(a testserver.Answer) {
	s.t.Helper()
	for name, want := range map[string]string{
		"Cache-Control": "no-store, no-transform", "Pragma": "no-cache", "Access-Control-Expose-Headers": "ETag", "Access-Control-Allow-Origin": "*",
		"X-Content-Type-Options": "nosniff",
	} {
		if got := a.Header.Get(name); got != want {
			s.t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if policy := a.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "sandbox; default-src 'none'") {
		s.t.Errorf("Content-Security-Policy %q", policy)
	}
	expires, err := http.ParseTime(a.Header.Get("Expires"))
	if left := time.Until(expires); err != nil || left < time.Minute || left > 5*time.Minute {
		s.t.Errorf("Expires in %s, %v", left, err)
	}
	modified, err := http.ParseTime(a.Header.Get("Last-Modified"))
	if age := time.Since(modified); err != nil || age < 0 || age > 5*time.Minute {
		s.t.Errorf("Last-Modified %s ago, %v", age, err)
	}
	if tag := a.Header.Get("ETag"); len(tag) < 3 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		s.t.Errorf("ETag %s", tag)
	}
}

// TestTextRendezvous has two devices meet in the form of MSC4108 as of 2024.
func TestTextRendezvous(t *testing.T) {
	each(t, "", func(s *script) {
		path, etag := s.meet("")
		first := s.send("GET", path, "")
		if s.wantCommon(first); first.Status != 200 || len(first.Body) != 0 || first.Header.Get("ETag") != etag || first.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("%d %v %s", first.Status, first.Header, first.Body)
		}
		for _, none := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
			same := s.send("GET", path, "", "If-None-Match: "+none)
			if s.wantCommon(same); same.Status != http.StatusNotModified || len(same.Body) != 0 || same.Header.Get("ETag") != etag {
				t.Errorf("If-None-Match %s: %d %s", none, same.Status, same.Body)
			}
		}
		put := s.send("PUT", path, "hello", asText, "If-Match: "+etag)
		if s.wantCommon(put); put.Status != http.StatusAccepted || len(put.Body) != 0 || put.Header.Get("ETag") == etag || put.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("%d %v %s", put.Status, put.Header, put.Body)
		}
		conflict := s.send("PUT", path, "hello", asText, "If-Match: "+etag)
		if s.wantCommon(conflict); conflict.Status != http.StatusPreconditionFailed || conflict.Header.Get("ETag") != put.Header.Get("ETag") ||
			!strings.Contains(string(conflict.Body), `"errcode":"M_UNKNOWN"`) || !strings.Contains(string(conflict.Body), `"org.matrix.msc4108.errcode":"M_CONCURRENT_WRITE"`) {
			t.Errorf("%d %v %s", conflict.Status, conflict.Header, conflict.Body)
		}
		read := s.send("GET", path, "", "If-None-Match: "+etag, "Sec-Fetch-Dest: empty", "Sec-Fetch-Mode: cors", "Sec-Fetch-Site: cross-site")
		if s.wantCommon(read); read.Status != 200 || string(read.Body) != "hello" || read.Header.Get("ETag") != put.Header.Get("ETag") || read.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("%d %v %s", read.Status, read.Header, read.Body)
		}
		now := "If-Match: " + read.Header.Get("ETag")
		for _, wrong := range []struct {
			name, method, path, body string
			headers                  []string
			want                     string
		}{
			{"no type", "POST", msc4108, "", nil, "400 M_MISSING_PARAM"},
			{"JSON", "POST", msc4108, "{}", []string{"Content-Type: application/json"}, "400 M_INVALID_PARAM"},
			{"a page", "POST", msc4108, "<script>", []string{"Content-Type: text/html"}, "400 M_INVALID_PARAM"},
			{"no type at all", "POST", msc4108, "", []string{"Content-Type: ;"}, "400 M_INVALID_PARAM"},
			{"bytes", "POST", msc4108, "\xff\xfe", []string{asText}, "400 M_INVALID_PARAM"},
			{"too large", "POST", msc4108, strings.Repeat("x", 4097), []string{asText}, "413 M_TOO_LARGE"},
			{"no type", "PUT", path, "x", []string{now}, "400 M_MISSING_PARAM"},
			{"a page", "PUT", path, "x", []string{now, "Content-Type: text/html"}, "400 M_INVALID_PARAM"},
			{"too large", "PUT", path, strings.Repeat("x", 4097), []string{asText, now}, "413 M_TOO_LARGE"},
			{"bytes", "PUT", path, "\xff\xfe", []string{asText, now}, "400 M_INVALID_PARAM"},
			{"no ETag", "PUT", path, "x", []string{asText}, "400 M_MISSING_PARAM"},
			{"weak ETag", "PUT", path, "x", []string{asText, "If-Match: W/" + read.Header.Get("ETag")}, "400 M_INVALID_PARAM"},
			{"any ETag", "PUT", path, "x", []string{asText, "If-Match: *"}, "400 M_INVALID_PARAM"},
			{"two ETags", "PUT", path, "x", []string{asText, now + `, "x"`}, "400 M_INVALID_PARAM"},
			{"two headers", "PUT", path, "x", []string{asText, now, now}, "400 M_INVALID_PARAM"},
			{"half an ETag", "PUT", path, "x", []string{asText, `If-Match: "`}, "400 M_INVALID_PARAM"},
			{"a guess", "GET", msc4108 + "/AAAAAAAAAAAAAAAAAAAAAAAAAA", "", nil, "404 M_NOT_FOUND"},
			{"a guess", "PUT", msc4108 + "/AAAAAAAAAAAAAAAAAAAAAAAAAA", "x", []string{asText, now}, "404 M_NOT_FOUND"},
			{"a guess", "DELETE", msc4108 + "/AAAAAAAAAAAAAAAAAAAAAAAAAA", "", nil, "404 M_NOT_FOUND"},
			{"navigation", "GET", path, "", []string{"Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate"}, "403 M_FORBIDDEN"},
			{"an image", "GET", path, "", []string{"Sec-Fetch-Dest: image", "Sec-Fetch-Mode: no-cors"}, "403 M_FORBIDDEN"},
			{"a click", "GET", path, "", []string{"Sec-Fetch-User: ?1"}, "403 M_FORBIDDEN"},
		} {
			if a := s.send(wrong.method, wrong.path, wrong.body, wrong.headers...); fmt.Sprint(a.Status, " ", a.Code()) != wrong.want {
				t.Errorf("%s, %s: %d %s, want %s", wrong.method, wrong.name, a.Status, a.Body, wrong.want)
			}
		}
		if a := s.send("PUT", path, strings.Repeat("x", 4096), asText+"; charset=utf-8", now); a.Status != http.StatusAccepted {
			t.Errorf("all that there may be: %d %s", a.Status, a.Body)
		}
		if a := s.send("DELETE", path, ""); a.Status != http.StatusNoContent || len(a.Body) != 0 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		if a := s.send("GET", path, ""); a.Status != http.StatusNotFound || a.Code() != "M_NOT_FOUND" {
			t.Errorf("after the end: %d %s", a.Status, a.Body)
		}
		preflight := s.send("OPTIONS", path, "", "Origin: https://app.example.org", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: content-type,if-match")
		for name, want := range map[string]string{"Access-Control-Allow-Headers": "If-Match, If-None-Match", "Access-Control-Allow-Methods": "PUT, DELETE", "Access-Control-Allow-Origin": "*"} {
			if got := preflight.Header.Get(name); !strings.Contains(got, want) {
				t.Errorf("preflight: %s is %q", name, got)
			}
		}
	})
}

// TestPageInRendezvous puts a page into a session, which no browser is to show.
func TestPageInRendezvous(t *testing.T) {
	each(t, "", func(s *script) {
		path, _ := s.meet("<!DOCTYPE html><script>alert(1)</script>")
		a := s.send("GET", path, "")
		if s.wantCommon(a); a.Header.Get("Content-Type") != "text/plain" || a.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%v", a.Header)
		}
	})
}

// TestRendezvous has two devices meet in the form of MSC4388.
func TestRendezvous(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.run([]step{
			{"flags", "nobody GET /_matrix/client/versions", ``, 200, "unstable_features/org.matrix.msc4108=true unstable_features/io.element.msc4388=true", ""},
			{"discovery", "nobody GET " + msc4388, ``, 200, "create_available=true", ""},
			{"begin", "nobody POST " + msc4388, `{"data":""}`, 200, "id:string sequence_token:string expires_in_ms:integer data:absent", "id=id"},
			{"read", "nobody GET " + msc4388 + "/<id>", ``, 200, `data= sequence_token:string expires_in_ms:integer id:absent`, "s1=sequence_token"},
			{"write", "alice PUT " + msc4388 + "/<id>/t1", `{"sequence_token":"<s1>","data":"hello"}`, 200, "sequence_token:string data:absent expires_in_ms:absent", "s2=sequence_token"},
			{"again", "nobody PUT " + msc4388 + "/<id>/t1", `{"sequence_token":"<s1>","data":"hello"}`, 200, "sequence_token=<s2>", ""},
			{"too late", "nobody PUT " + msc4388 + "/<id>/t2", `{"sequence_token":"<s1>","data":"other"}`, 409, "errcode=IO_ELEMENT_MSC4388_CONCURRENT_WRITE", ""},
			{"the same transaction", "nobody PUT " + msc4388 + "/<id>/t2", `{"sequence_token":"<s2>","data":"other"}`, 409, "errcode=IO_ELEMENT_MSC4388_CONCURRENT_WRITE", ""},
			{"read again", "nobody GET " + msc4388 + "/<id>", ``, 200, "data=hello sequence_token=<s2>", ""},
			{"without a transaction", "nobody PUT " + msc4388 + "/<id>", `{"sequence_token":"<s2>","data":"answer"}`, 200, "sequence_token:string", "s3=sequence_token"},
			{"that again", "nobody PUT " + msc4388 + "/<id>", `{"sequence_token":"<s2>","data":"answer"}`, 200, "sequence_token=<s3>", ""},
			{"that too late", "nobody PUT " + msc4388 + "/<id>", `{"sequence_token":"<s2>","data":"another"}`, 409, "errcode=IO_ELEMENT_MSC4388_CONCURRENT_WRITE", ""},
			{"all that there may be", "nobody PUT " + msc4388 + "/<id>/t3", `{"sequence_token":"<s3>","data":"` + strings.Repeat(`\u0041`, 4096) + `"}`, 200, "sequence_token:string", "s4=sequence_token"},
			{"too large", "nobody PUT " + msc4388 + "/<id>/t4", `{"sequence_token":"<s4>","data":"` + strings.Repeat("x", 4097) + `"}`, 413, "errcode=M_TOO_LARGE", ""},
			{"too large a beginning", "nobody POST " + msc4388, `{"data":"` + strings.Repeat("x", 4097) + `"}`, 413, "errcode=M_TOO_LARGE", ""},
			{"far too large", "nobody POST " + msc4388, `{"data":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "errcode=M_TOO_LARGE", ""},
			{"a guess", "nobody GET " + msc4388 + "/AAAAAAAAAAAAAAAAAAAAAAAAAA", ``, 404, "errcode=M_NOT_FOUND", ""},
			{"a guess to write", "nobody PUT " + msc4388 + "/AAAAAAAAAAAAAAAAAAAAAAAAAA/t1", `{"sequence_token":"<s4>","data":""}`, 404, "errcode=M_NOT_FOUND", ""},
			{"end", "nobody DELETE " + msc4388 + "/<id>", ``, 200, "", ""},
			{"ended", "nobody DELETE " + msc4388 + "/<id>", ``, 404, "errcode=M_NOT_FOUND", ""},
			{"read after", "nobody GET " + msc4388 + "/<id>", ``, 404, "errcode=M_NOT_FOUND", ""},
			{"an unknown token", "unknown GET " + msc4388, ``, 401, "errcode=M_UNKNOWN_TOKEN", ""},
			{"begin with an unknown token", "unknown POST " + msc4388, `{"data":""}`, 401, "errcode=M_UNKNOWN_TOKEN", ""},
			{"begin, for a browser", "nobody POST " + msc4388, `{"data":"<!-- page -->"}`, 200, "", "id=id"},
		})
		shown := s.send("GET", msc4388+"/"+s.words["id"], "", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1")
		if shown.Status != http.StatusForbidden || shown.Code() != "M_FORBIDDEN" {
			t.Errorf("navigation: %d %s", shown.Status, shown.Body)
		}
		fetched := s.send("GET", msc4388+"/"+s.words["id"], "", "Sec-Fetch-Dest: empty", "Sec-Fetch-Mode: cors")
		if fetched.Status != 200 || fetched.Header.Get("X-Content-Type-Options") != "nosniff" || fetched.Header.Get("Cache-Control") != "no-store, no-transform" {
			t.Errorf("fetch: %d %v", fetched.Status, fetched.Header)
		}
	})
}

// TestRendezvousPolicy asks servers that let only some begin a session, or nobody.
func TestRendezvousPolicy(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.run([]step{
			{"flags", "nobody GET /_matrix/client/versions", ``, 200, "unstable_features/org.matrix.msc4108=false unstable_features/io.element.msc4388=true", ""},
			{"strangers", "nobody GET " + msc4388, ``, 200, "create_available=false", ""},
			{"a stranger begins", "nobody POST " + msc4388, `{"data":""}`, 403, "errcode=M_FORBIDDEN", ""},
			{"alice", "alice GET " + msc4388, ``, 200, "create_available=true", ""},
			{"alice begins", "alice POST " + msc4388, `{"data":"x"}`, 200, "id:string", "id=id"},
			{"a stranger reads", "nobody GET " + msc4388 + "/<id>", ``, 200, "data=x", ""},
			{"a stranger ends", "nobody DELETE " + msc4388 + "/<id>", ``, 200, "", ""},
		})
		if a := s.send("POST", msc4108, "", asText); a.Status != http.StatusNotFound || a.Code() != "M_UNRECOGNIZED" {
			t.Errorf("MSC4108: %d %s", a.Status, a.Body)
		}
	}, func(c *homeserver.Config) { c.OAuth.QRLogin = homeserver.QRLoginUsers })
	for name, off := range map[string]func(*homeserver.Config){
		"off": func(c *homeserver.Config) { c.OAuth.QRLogin = homeserver.QRLoginOff }, "no OAuth": func(c *homeserver.Config) { c.OAuth.Enabled = false },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, "alice", func(s *script) {
				s.run([]step{{"flags", "nobody GET /_matrix/client/versions", ``, 200, "unstable_features/org.matrix.msc4108=false unstable_features/io.element.msc4388=false", ""}})
				for _, request := range []string{"GET " + msc4388, "POST " + msc4388, "GET " + msc4388 + "/x", "PUT " + msc4388 + "/x", "PUT " + msc4388 + "/x/y", "DELETE " + msc4388 + "/x",
					"POST " + msc4108, "GET " + msc4108 + "/x", "PUT " + msc4108 + "/x", "DELETE " + msc4108 + "/x"} {
					if a := s.ask("alice "+request, `{"data":"","sequence_token":""}`); a.Status == http.StatusUnauthorized || a.Status != http.StatusNotFound || a.Code() != "M_UNRECOGNIZED" {
						t.Errorf("%s: %d %s", request, a.Status, a.Body)
					}
				}
			}, off)
		})
	}
}

// TestRendezvousAttacks floods the server, and has many write at once. Nothing of a session is in the log.
func TestRendezvousAttacks(t *testing.T) {
	var log bytes.Buffer
	each(t, "", func(s *script) {
		path, etag := s.meet("between us")
		var (
			all  sync.WaitGroup
			wins atomic.Int32
		)
		for i := range 20 {
			all.Go(func() {
				switch a := s.send("PUT", path, fmt.Sprint("between us ", i), asText, "If-Match: "+etag); a.Status {
				case http.StatusAccepted:
					wins.Add(1)
				case http.StatusPreconditionFailed:
				default:
					t.Errorf("%d %s", a.Status, a.Body)
				}
			})
		}
		all.Wait()
		if wins.Load() != 1 {
			t.Errorf("%d writers won", wins.Load())
		}
		refused := 0
		for range 10_000 {
			a := s.send("POST", msc4108, "flood", asText)
			if a.Status == http.StatusTooManyRequests && a.Code() == "M_LIMIT_EXCEEDED" && a.Header.Get("Retry-After") != "" {
				refused++
			}
		}
		if refused != 10_000-19 {
			t.Errorf("%d of 10000 were refused", refused)
		}
		if a := s.send("GET", path, ""); a.Status != 200 || !strings.HasPrefix(string(a.Body), "between us ") {
			t.Errorf("after the flood: %d %s", a.Status, a.Body)
		}
		id := path[strings.LastIndexByte(path, '/')+1:]
		if text := log.String(); strings.Contains(text, id) || strings.Contains(text, "between us") || strings.Contains(text, strings.Trim(etag, `"`)) || !strings.Contains(text, msc4108+"/{rendezvousId}") {
			t.Errorf("the log tells of it, or of nothing: %.500s", text)
		}
	}, func(c *homeserver.Config) { log.Reset(); c.Log = zerolog.New(zerolog.SyncWriter(&log)) })
}

// TestRendezvousLimits: who begins too many waits, and whoever has begun goes on.
func TestRendezvousLimits(t *testing.T) {
	each(t, "", func(s *script) {
		path, _ := s.meet("")
		s.meet("")
		if a := s.send("POST", msc4108, "", asText); a.Status != http.StatusTooManyRequests || a.Code() != "M_LIMIT_EXCEEDED" {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		if a := s.send("POST", msc4388, `{"data":""}`); a.Status != http.StatusTooManyRequests {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		for range 100 {
			if a := s.send("GET", path, ""); a.Status != 200 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
		}
	}, func(c *homeserver.Config) {
		c.Limits = map[httpapi.Class]httpapi.Limit{httpapi.ClassRendezvous: {PerSecond: 0.001, Burst: 2}}
	})
}

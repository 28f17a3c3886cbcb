package inproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// seen is what a handler can tell of a request.
type seen struct {
	Method, URI, Path, RawPath, Query, Host, Body string
	Length                                        int64
	Chunked                                       bool
	Header                                        http.Header
}

func record(into *seen) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		header := r.Header.Clone()
		for _, added := range []string{"User-Agent", "Accept-Encoding"} {
			header.Del(added) // by http.Transport
		}
		*into = seen{
			r.Method, r.RequestURI, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.Host, string(body),
			r.ContentLength, len(r.TransferEncoding) > 0, header,
		}
		w.Header().Set("X-Reply", "yes")
		if r.URL.Path == "/empty" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.WriteHeader(http.StatusCreated)
		w.Header().Set("X-Too-Late", "yes")
		_, _ = io.WriteString(w, "<html>"+string(body))
	})
}

// TestLikeTheWire sends each request over a socket and through Transport, and
// wants the same on both sides.
func TestLikeTheWire(t *testing.T) {
	var wire, here seen
	server := httptest.NewServer(record(&wire))
	defer server.Close()
	inproc := &http.Client{Transport: New(record(&here))}
	tests := []struct {
		name, method, path string
		body               io.Reader
		header             http.Header
		host               string
	}{
		{name: "get", method: "GET", path: "/a/b?q=1&r="},
		{name: "no path", method: "GET", path: ""},
		{name: "no method", method: "", path: "/"},
		{name: "head", method: "HEAD", path: "/a"},
		{name: "no content", method: "DELETE", path: "/empty"},
		{name: "escapes", method: "GET", path: "/rooms/%21a%2Fb%3Ac/%23x%20y?via=a%26b"},
		{name: "lone question mark", method: "GET", path: "/a?"},
		{name: "body", method: "PUT", path: "/", body: strings.NewReader("content")},
		{name: "body of unknown length", method: "POST", path: "/", body: io.MultiReader(strings.NewReader("content"))},
		{name: "empty body", method: "POST", path: "/", body: strings.NewReader("")},
		{name: "header", method: "GET", path: "/", header: http.Header{"Authorization": {"Bearer x"}, "x-odd": {"1", "2"}}},
		{name: "host", method: "GET", path: "/", host: "example.org"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var content string
			if test.body != nil {
				all, _ := io.ReadAll(test.body)
				content = string(all)
			}
			do := func(client *http.Client) *http.Response {
				var body io.Reader
				if test.body != nil {
					body = strings.NewReader(content)
					if _, sized := test.body.(*strings.Reader); !sized {
						body = io.MultiReader(body)
					}
				}
				request, err := http.NewRequest(test.method, server.URL+test.path, body)
				if err != nil {
					t.Fatal(err)
				}
				request.Host = test.host
				for key, values := range test.header {
					request.Header[key] = values
				}
				response, err := client.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				return response
			}
			got, want := do(inproc), do(http.DefaultClient)
			if !reflect.DeepEqual(here, wire) {
				t.Errorf("handler: got %+v, want %+v", here, wire)
			}
			compareResponses(t, got, want)
		})
	}
}

func compareResponses(t *testing.T, got, want *http.Response) {
	t.Helper()
	gotBody, gotErr := io.ReadAll(got.Body)
	wantBody, wantErr := io.ReadAll(want.Body)
	if string(gotBody) != string(wantBody) || gotErr != wantErr {
		t.Errorf("got body %q %v, want %q %v", gotBody, gotErr, wantBody, wantErr)
	}
	want.Header.Del("Date")
	if !reflect.DeepEqual(got.Header, want.Header) {
		t.Errorf("got header %v, want %v", got.Header, want.Header)
	}
	if got.Status != want.Status || got.StatusCode != want.StatusCode || got.ContentLength != want.ContentLength {
		t.Errorf("got %s (%d bytes), want %s (%d bytes)", got.Status, got.ContentLength, want.Status, want.ContentLength)
	}
}

func TestHandlerFaults(t *testing.T) {
	tests := []struct {
		name    string
		handler http.Handler
		want    error
		text    string
	}{
		{"none", nil, ErrNoHandler, "GET /x"},
		{"panic", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("ouch") }), ErrAborted, "ouch"},
		{"abort", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), ErrAborted, ""},
		{"goexit", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Goexit() }), ErrAborted, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body := &closer{Reader: strings.NewReader("x")}
			request, _ := http.NewRequest("GET", "http://hs/x", body)
			_, err := New(test.handler).RoundTrip(request)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want %v with %q", err, test.want, test.text)
			}
			if !body.closed {
				t.Error("the body was not closed")
			}
		})
	}
}

type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error {
	c.closed = true
	return nil
}

func TestSetHandler(t *testing.T) {
	transport := New(nil)
	client := &http.Client{Transport: transport}
	for _, want := range []int{201, 202} {
		transport.SetHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(want) }))
		response, err := client.Get("http://hs/")
		if err != nil || response.StatusCode != want {
			t.Errorf("got %v %v, want status %d", response, err, want)
		}
	}
	transport.SetHandler(nil)
	if _, err := client.Get("http://hs/"); !errors.Is(err, ErrNoHandler) {
		t.Errorf("got %v, want ErrNoHandler", err)
	}
}

func TestCancelReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		release := make(chan struct{})
		transport := New(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			cause = r.Context().Err()
			<-release // and is slow to leave
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		request, _ := http.NewRequestWithContext(ctx, "GET", "http://hs/", nil)
		started := time.Now()
		if _, err := transport.RoundTrip(request); err != context.DeadlineExceeded {
			t.Errorf("got %v, want context.DeadlineExceeded", err)
		}
		if waited := time.Since(started); waited != time.Minute {
			t.Errorf("got an answer after %v, want a minute", waited)
		}
		closed := make(chan struct{})
		go func() {
			transport.Close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close did not wait for the handler")
		default:
		}
		close(release)
		<-closed
		if cause != context.Canceled {
			t.Errorf("handler: got %v, want context.Canceled", cause)
		}
		if _, err := transport.RoundTrip(request.WithContext(t.Context())); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

// A handler that waits for more of a body must not outlive the caller's patience.
func TestCancelWhileBodyIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got error
		transport := New(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, got = io.ReadAll(r.Body)
		}))
		ctx, cancel := context.WithCancel(t.Context())
		reader, writer := io.Pipe()
		request, _ := http.NewRequestWithContext(ctx, "POST", "http://hs/", reader)
		go func() {
			_, _ = io.WriteString(writer, "first part")
			cancel()
		}()
		if _, err := transport.RoundTrip(request); err != context.Canceled {
			t.Errorf("got %v, want context.Canceled", err)
		}
		transport.Close()
		if got == nil {
			t.Error("handler: got the end of the body, want an error")
		}
	})
}

func TestBodyOfAnotherLength(t *testing.T) {
	tests := []struct {
		name   string
		length int64
		want   string
	}{
		{"shorter than announced", 9, "unexpected EOF"},
		{"longer than announced", 3, "con"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			transport := New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					body = []byte(err.Error())
				}
				_, _ = w.Write(body)
			}))
			request, _ := http.NewRequest("POST", "http://hs/", strings.NewReader("content"))
			request.ContentLength = test.length
			response, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(response.Body); string(got) != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestContext(t *testing.T) {
	type key struct{}
	transport := New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(key{}) != nil {
			t.Error("a value of the caller's context came across")
		}
		if r.RemoteAddr != RemoteAddr {
			t.Errorf("got RemoteAddr %q, want %q", r.RemoteAddr, RemoteAddr)
		}
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
	}))
	request, _ := http.NewRequestWithContext(context.WithValue(t.Context(), key{}, 1), "GET", "http://hs/", nil)
	response, err := transport.RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusTeapot {
		t.Errorf("got %v %v, want status 418", response, err)
	}
}

func TestConcurrent(t *testing.T) {
	client := &http.Client{Transport: New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))}
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			for j := range 50 {
				want := strings.Repeat(fmt.Sprintf("%d.%d ", i, j), 100)
				response, err := client.Post("http://hs/", "text/plain", strings.NewReader(want))
				if err != nil {
					t.Error(err)
					return
				}
				if got, _ := io.ReadAll(response.Body); string(got) != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
	wait.Wait()
}

package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serve runs a table on a real server.
func serve(t *testing.T, routes []Route, options Options) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(NewMux(routes, options))
	t.Cleanup(server.Close)
	return server
}

func TestClientHangsUp(t *testing.T) {
	entered, left := make(chan struct{}), make(chan error)
	wait := func(ctx context.Context, _ *Request) error {
		entered <- struct{}{}
		<-ctx.Done()
		left <- ctx.Err()
		return ctx.Err()
	}
	server := serve(t, []Route{
		{"GET", "/sync", Public, JSON(func(ctx context.Context, r *Request, _ Empty) (Empty, error) {
			return Empty{}, wait(ctx, r)
		})},
		{"POST", "/ignored", Public, JSON(func(ctx context.Context, r *Request, _ Empty) (Empty, error) {
			return Empty{}, wait(ctx, r)
		})},
		{"POST", "/decoded", Public, JSON(func(ctx context.Context, r *Request, _ echoIn) (Empty, error) {
			return Empty{}, wait(ctx, r)
		})},
		{"POST", "/raw", Public, JSON(func(ctx context.Context, r *Request, _ json.RawMessage) (Empty, error) {
			return Empty{}, wait(ctx, r)
		})},
	}, Options{})
	for _, request := range []string{"GET /sync", "POST /ignored", "POST /decoded", "POST /raw"} {
		t.Run(request, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			method, path, _ := strings.Cut(request, " ")
			var body io.Reader
			if method == "POST" {
				body = strings.NewReader(`{"name":"x"}`)
			}
			req, err := http.NewRequestWithContext(ctx, method, server.URL+path, body)
			if err != nil {
				t.Fatal(err)
			}
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				if res, err := http.DefaultClient.Do(req); err == nil {
					_ = res.Body.Close()
				}
			}()
			<-entered
			cancel()
			<-answered
			if err := <-left; err != context.Canceled {
				t.Errorf("got %v, want context.Canceled", err)
			}
		})
	}
}

func TestPartOfAnAnswerIsCut(t *testing.T) {
	partial := func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
	}
	server := serve(t, []Route{
		{"GET", "/error", Public, Raw(func(_ context.Context, w http.ResponseWriter, _ *Request) error {
			partial(w)
			return NotFound("the other half")
		})},
		{"GET", "/panic", Public, Raw(func(_ context.Context, w http.ResponseWriter, _ *Request) error {
			partial(w)
			panic("half way")
		})},
	}, Options{})
	for _, path := range []string{"/error", "/panic"} {
		res, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if string(body) != "half" || err == nil {
			t.Errorf("%s: got %q and no error, want the connection cut", path, body)
		}
	}
}

func TestSlowBody(t *testing.T) {
	server := serve(t, testRoutes(), Options{BodyTimeout: 20 * time.Millisecond})
	for path, want := range map[string]int{
		"/echo": 408, "/raw-echo": 408, "/nobody": 408, "/upload": 408, "/nothing": 404, "/user": 405,
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: hs\r\nContent-Length: 20\r\n\r\n{")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != want {
			t.Errorf("%s: got status %d, want %d", path, res.StatusCode, want)
		}
		_ = conn.Close()
	}
}

// The time for the body must not become the time for the answer.
func TestLongPollOutlivesBodyTimeout(t *testing.T) {
	const timeout = 50 * time.Millisecond
	server := serve(t, []Route{{"POST", "/sync", Public,
		JSON(func(ctx context.Context, _ *Request, _ echoIn) (string, error) {
			select {
			case <-ctx.Done():
				return "", ctx.Err()
			case <-time.After(3 * timeout):
				return "waited", nil
			}
		})}}, Options{BodyTimeout: timeout})
	res, err := http.Post(server.URL+"/sync", "", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != `"waited"` {
		t.Errorf("got %s, want the answer", body)
	}
}

func TestChunkedBody(t *testing.T) {
	server := serve(t, testRoutes(), Options{})
	tests := []struct {
		name, path, body string
		status           int
	}{
		{"decoded", "/echo", `{"name":"x"}`, 200},
		{"raw", "/raw-echo", `{"name":"x"}`, 200},
		{"too large", "/small", `{"name":"` + strings.Repeat("x", 100) + `"}`, 413},
		{"ignored, too large", "/nobody", strings.Repeat("x", 100), 413},
		{"upload, too large", "/upload", strings.Repeat("x", 100), 413},
		{"none", "/optional-body", "", 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// A reader of a type unknown to net/http is sent in chunks.
			body := io.MultiReader(strings.NewReader(test.body))
			res, err := http.Post(server.URL+test.path, "", body)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != test.status {
				t.Errorf("got status %d, want %d", res.StatusCode, test.status)
			}
		})
	}
}

func TestLargeAnswerHasItsLength(t *testing.T) {
	large := strings.Repeat("x", 10_000)
	server := serve(t, []Route{
		{"GET", "/large", Public, Dynamic(func(context.Context, *Request) (any, error) { return large, nil })},
		{"GET", "/file", Public, Raw(func(_ context.Context, w http.ResponseWriter, _ *Request) error {
			_, err := io.Copy(w, strings.NewReader(large))
			return err
		})},
	}, Options{})
	res, err := http.Get(server.URL + "/large")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ContentLength != int64(len(large)+2) {
		t.Errorf("got Content-Length %d, want %d", res.ContentLength, len(large)+2)
	}
	file, err := http.Get(server.URL + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Body.Close()
	if body, err := io.ReadAll(file.Body); string(body) != large || err != nil {
		t.Errorf("got %d bytes and %v, want %d", len(body), err, len(large))
	}
	head, err := http.Head(server.URL + "/large")
	if err != nil {
		t.Fatal(err)
	}
	defer head.Body.Close()
	if head.StatusCode != 200 {
		t.Errorf("HEAD: got status %d, want that of GET", head.StatusCode)
	}
}

func TestClosing(t *testing.T) {
	closing := make(chan struct{})
	entered := make(chan struct{})
	server := serve(t, []Route{{"GET", "/sync", Public,
		JSON(func(ctx context.Context, r *Request, _ Empty) (string, error) {
			close(entered)
			select {
			case <-ctx.Done():
				return "", ctx.Err()
			case <-r.Closing():
				return "closing", nil
			}
		})}}, Options{Closing: closing})
	go func() {
		<-entered
		close(closing)
	}()
	res, err := http.Get(server.URL + "/sync")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != `"closing"` {
		t.Errorf("got %s, want the parked request answered", body)
	}
}

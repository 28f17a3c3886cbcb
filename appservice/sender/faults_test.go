package sender

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"causeway/homeserver/storetest"
)

// faults are answers over the network after which a transaction must be sent again.
var faults = map[string]func(w http.ResponseWriter){
	"500":         func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
	"403":         func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
	"404":         func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
	"202":         func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) },
	"redirection": func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(http.StatusFound) },
	"closed":      func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	"cut short": func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "{")
		panic(http.ErrAbortHandler)
	},
	"no HTTP": func(w http.ResponseWriter) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n")
		conn.Close()
	},
	"endless header": func(w http.ResponseWriter) {
		w.Header().Set("X-Long", strings.Repeat("x", 11<<20))
		w.WriteHeader(http.StatusOK)
	},
}

func TestFaults(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			var tries atomic.Int32
			got := make(chan string, 10)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method == http.MethodPut {
					got <- r.URL.Path + string(body)
				}
				if tries.Add(1) <= 2 {
					fault(w)
				} else {
					_, _ = io.WriteString(w, "any <garbage> will do with status 200")
				}
			}))
			defer server.Close()
			h := newHouse(t, storetest.New(t))
			reg := ircRegistration(t)
			reg.URL = server.URL + "/"
			s := h.senderOf(nil, newSet(t, reg))
			s.jitter = noPause
			stop := h.start(s)
			h.room("bridged").say(ghost, "hello")
			first := <-got
			for range 2 {
				if again := <-got; again != first {
					t.Errorf("try is %s, want %s", again, first)
				}
			}
			stop()
			if c := h.cursor(); c.Pending != nil {
				t.Error("the transaction is still pending")
			}
			if n := len(got); n != 0 {
				t.Errorf("there were %d requests too many", n)
			}
		})
	}
}

// TestRefused has nobody listen at first.
func TestRefused(t *testing.T) {
	h := newHouse(t, storetest.New(t))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	reg := ircRegistration(t)
	reg.URL = "http://" + address
	s := h.senderOf(nil, newSet(t, reg))
	failed := make(chan struct{}, 1)
	s.jitter = onFailure(failed)
	h.start(s)
	h.room("bridged").say(ghost, "hello")
	<-failed
	service := newService()
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(
		func(_ http.ResponseWriter, r *http.Request) { _, _ = service.RoundTrip(r) })}}
	server.Start()
	defer server.Close()
	s.Kick("irc")
	if got, _ := service.collect(t, 1); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("the service got %q, want hello", got)
	}
}

// TestUnixSocket has a service that listens on a socket in the file system.
func TestUnixSocket(t *testing.T) {
	h := newHouse(t, storetest.New(t))
	service := newService()
	path := filepath.Join(t.TempDir(), "as.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(
		func(_ http.ResponseWriter, r *http.Request) { _, _ = service.RoundTrip(r) })}}
	server.Start()
	defer server.Close()
	reg := ircRegistration(t)
	reg.URL = "unix://" + path
	s := h.senderOf(nil, newSet(t, reg))
	defer h.start(s)()
	h.room("bridged").say(ghost, "hello")
	if got, _ := service.collect(t, 1); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("the service got %q, want hello", got)
	}
	if found, err := s.QueryAlias(t.Context(), "#irc_x:test", ""); !found || err != nil {
		t.Errorf("query said %v, %v; want yes", found, err)
	}
}

// TestNoURL has a service that wants no events.
func TestNoURL(t *testing.T) {
	h := newHouse(t, storetest.New(t))
	reg := ircRegistration(t)
	reg.URL = ""
	service := newService()
	s := h.sender(service, newSet(t, reg))
	stop := h.start(s)
	h.room("bridged").say(ghost, "hello")
	if found, err := s.QueryAlias(t.Context(), "#irc_x:test", ""); found || err != nil {
		t.Errorf("query said %v, %v; want no", found, err)
	}
	stop()
	if n := len(service.requests); n != 0 {
		t.Errorf("a service without URL got %d requests", n)
	}
}

package httpapi

import (
	"errors"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix"
)

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(map[Class]Limit{ClassLogin: {PerSecond: 2, Burst: 3}})
		take := func(class Class, who string, want time.Duration) {
			t.Helper()
			if got := l.take(class, who, time.Now()); got != want {
				t.Errorf("got a wait of %v, want %v", got, want)
			}
		}
		for range 3 {
			take(ClassLogin, "a", 0)
		}
		take(ClassLogin, "a", 500*time.Millisecond)
		take(ClassLogin, "a", 500*time.Millisecond) // a refusal costs nothing
		take(ClassLogin, "b", 0)                    // others are free
		take(ClassMessage, "a", 0)                  // so are other classes
		time.Sleep(499 * time.Millisecond)
		take(ClassLogin, "a", time.Millisecond)
		time.Sleep(time.Millisecond)
		take(ClassLogin, "a", 0)
		take(ClassLogin, "a", 500*time.Millisecond)
		time.Sleep(time.Hour) // no more than the burst is saved up
		for range 3 {
			take(ClassLogin, "a", 0)
		}
		take(ClassLogin, "a", 500*time.Millisecond)
	})
}

func TestLimiterCharges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(map[Class]Limit{ClassLogin: {PerSecond: 2, Burst: 3}})
		take := func(who string, want time.Duration) {
			t.Helper()
			if got := l.take(ClassLogin, who, time.Now()); got != want {
				t.Errorf("got a wait of %v, want %v", got, want)
			}
		}
		take("a", 0)
		l.charge(ClassLogin, "a", 2, time.Now())
		take("a", 500*time.Millisecond)
		l.charge(ClassLogin, "a", 0, time.Now())
		l.charge(ClassLogin, "a", -7, time.Now())
		take("a", 500*time.Millisecond)
		l.charge(ClassLogin, "a", 100, time.Now()) // more than there are
		take("a", 50*time.Second+500*time.Millisecond)
		take("b", 0)
		time.Sleep(50*time.Second + 500*time.Millisecond)
		take("a", 0)
		take("a", 500*time.Millisecond)
		l.charge(ClassMessage, "a", 1, time.Now()) // not limited
	})
}

func TestLimiterForgetsTheOldest(t *testing.T) {
	l := newLimiter(map[Class]Limit{ClassLogin: {PerSecond: 1, Burst: 1}})
	l.max = 3
	now := time.Now()
	for _, who := range []string{"a", "b", "c", "a", "d"} {
		l.take(ClassLogin, who, now)
	}
	if len(l.buckets) != 3 || l.idle.Len() != 3 {
		t.Fatalf("got %d buckets and %d in the list, want 3", len(l.buckets), l.idle.Len())
	}
	for who, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if _, got := l.buckets[bucketKey{ClassLogin, who}]; got != want {
			t.Errorf("got bucket of %s %v, want %v", who, got, want)
		}
	}
}

func TestRateLimitedRoutes(t *testing.T) {
	tests := []struct {
		name, token, address string
		statuses             []int
	}{
		{"person", "alice", "192.0.2.1:1", []int{200, 429}},
		{"the same person from elsewhere", "alice", "192.0.2.9:1", []int{429}},
		{"exempt application service", "bridge", "inproc", []int{200, 200, 200}},
		{"nobody", "", "192.0.2.1:1", []int{200, 429}},
		{"the same address, other port", "", "192.0.2.1:2", []int{429}},
		{"another address", "", "192.0.2.2:2", []int{200}},
		{"nobody by IPv6", "", "[2001:db8::1]:1", []int{200, 429}},
		{"the same network by IPv6", "", "[2001:db8::2]:1", []int{429}},
		{"another network by IPv6", "", "[2001:db8:0:1::2]:1", []int{200}},
	}
	mux := NewMux([]Route{{"GET", "/", Optional, JSON(whoami).Limited(ClassMessage)}}, Options{
		Identifier: people,
		Limits:     map[Class]Limit{ClassMessage: {PerSecond: 0.001, Burst: 1}},
	})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, want := range test.statuses {
				request := httptest.NewRequest("GET", "/", nil)
				request.RemoteAddr = test.address
				if test.token != "" {
					request.Header.Set("Authorization", "Bearer "+test.token)
				}
				recorder := httptest.NewRecorder()
				mux.ServeHTTP(recorder, request)
				if recorder.Code != want {
					t.Errorf("request %d: got status %d, want %d", i, recorder.Code, want)
				}
				if retry, _ := strconv.Atoi(recorder.Header().Get("Retry-After")); want == 429 && (retry < 900 || retry > 1000) {
					t.Errorf("got Retry-After %d, want about 1000 seconds", retry)
				}
			}
		})
	}
}

func TestClientIP(t *testing.T) {
	tests := []struct {
		name, remote string
		forwarded    []string
		trusted      bool
		want         string
	}{
		{"direct", "192.0.2.1:80", nil, true, "192.0.2.1"},
		{"IPv6", "[2001:db8::1]:80", nil, true, "2001:db8::1"},
		{"not trusted", "192.0.2.1:80", []string{"198.51.100.1"}, false, "192.0.2.1"},
		{"trusted", "192.0.2.1:80", []string{"198.51.100.1"}, true, "198.51.100.1"},
		{"forged", "192.0.2.1:80", []string{"10.0.0.1", "10.0.0.2, 198.51.100.1"}, true, "198.51.100.1"},
		{"in process", "inproc", nil, false, "inproc"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := &Request{Request: httptest.NewRequest("GET", "/", nil), mux: &Mux{options: Options{ForwardedFor: test.trusted}}}
			r.RemoteAddr = test.remote
			r.Header["X-Forwarded-For"] = test.forwarded
			if got := r.ClientIP(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestRequestLimit(t *testing.T) {
	r := &Request{mux: NewMux(nil, Options{Limits: map[Class]Limit{ClassLogin: {PerSecond: 1, Burst: 1}}})}
	if err := r.Limit(ClassLogin, "account"); err != nil {
		t.Errorf("got %v, want the first allowed", err)
	}
	if err := r.Limit(ClassLogin, "account"); !errors.Is(err, mautrix.MLimitExceeded) {
		t.Errorf("got %v, want M_LIMIT_EXCEEDED", err)
	}
}

// A handler that counts by address counts all that one customer has as one.
func TestLimitClient(t *testing.T) {
	mux := NewMux(nil, Options{Limits: map[Class]Limit{ClassLogin: {PerSecond: 1, Burst: 1}}})
	for _, test := range []struct {
		address string
		want    error
	}{
		{"[2001:db8::1]:1", nil},
		{"[2001:db8::2]:1", mautrix.MLimitExceeded},
		{"[2001:db8:0:1::1]:1", nil},
		{"192.0.2.1:1", nil},
		{"192.0.2.1:2", mautrix.MLimitExceeded},
		{"192.0.2.2:1", nil},
	} {
		r := &Request{Request: httptest.NewRequest("GET", "/", nil), mux: mux}
		r.RemoteAddr = test.address
		if got := r.LimitClient(ClassLogin); !errors.Is(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.address, got, test.want)
		}
	}
}

package sfu

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"causeway/sfu/signalling"
)

// awaitMetrics looks until the metrics are as wanted: they tell of what others do.
func (w *world) awaitMetrics(what string, is func(Metrics) bool) Metrics {
	w.t.Helper()
	end := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		m := w.server.Metrics()
		if is(m) {
			return m
		}
		select {
		case <-tick.C:
		case <-end:
			w.t.Fatalf("%s: got %+v", what, m)
		}
	}
}

// TestMetrics counts what two people send each other, and keeps the counts when they are gone.
func TestMetrics(t *testing.T) {
	barred := errors.New("not any more")
	w := newWorld(t, func(c *Config) {
		c.Admit = func(_ context.Context, g *Grant) error {
			if g.Identity == "barred" {
				return barred
			}
			return nil
		}
		c.Limits.Participants = 2
	})
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	alice.publish("sound", signalling.Microphone)
	alice.publish("picture", signalling.Camera)
	bob.awaitTrack()
	bob.awaitTrack()
	m := w.awaitMetrics("media", func(m Metrics) bool {
		return m.Out[KindAudio].Packets > 10 && m.Out[KindVideo].Packets > 10 && m.Quality["excellent"] == 2
	})
	if m.Rooms != 1 || m.Participants != 2 || m.Joined != 2 {
		t.Errorf("got %d rooms, %d participants, %d joins; want 1, 2, 2", m.Rooms, m.Participants, m.Joined)
	}
	for _, kind := range []string{KindAudio, KindVideo} {
		in, out := m.In[kind], m.Out[kind]
		if m.Published[kind] != 1 || m.Subscribed[kind] != 1 || in.Packets < out.Packets || in.Bytes == 0 || out.Bytes == 0 {
			t.Errorf("%s: %d published, %d subscribed, %+v in, %+v out", kind, m.Published[kind], m.Subscribed[kind], in, out)
		}
	}

	for _, test := range []struct {
		reason, token string
	}{
		{"token", "nonsense"},
		{"expired", mint(t, "carol", -time.Hour)},
		{"access", mint(t, "barred", time.Hour)},
		{"request", mint(t, "carol", time.Hour)},
	} {
		w.status("/rtc/v1?join_request=!&access_token=" + url.QueryEscape(test.token))
		if got := w.server.Metrics().Refused[test.reason]; got != 1 {
			t.Errorf("refused for %s: got %d, want 1", test.reason, got)
		}
	}
	late := w.client(mint(t, "carol", time.Hour), "carol", true)
	late.pc = late.newPC()
	late.dial(&signalling.JoinRequest{})
	late.awaitLeave()
	if got := w.server.Metrics().Refused["room_full"]; got != 1 {
		t.Errorf("refused for want of room: got %d, want 1", got)
	}

	alice.send(&signalling.SignalRequest{Leave: &signalling.LeaveRequest{Reason: signalling.ClientInitiated}})
	w.server.Remove("room", "bob")
	after := w.awaitMetrics("the end", func(m Metrics) bool { return m.Rooms == 0 && m.Left["client"] == 1 && m.Left["removed"] == 1 })
	for _, kind := range []string{KindAudio, KindVideo} {
		if after.Published[kind] != 0 || after.Subscribed[kind] != 0 || after.In[kind].Packets < m.In[kind].Packets || after.Out[kind].Packets < m.Out[kind].Packets {
			t.Errorf("%s: counts have fallen: %+v, before %+v", kind, after, m)
		}
	}
}

func mint(t *testing.T, identity string, valid time.Duration) string {
	t.Helper()
	text, err := Mint(testKey, testSecret, Grant{Room: "room", Identity: identity, Permission: everything}, valid)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

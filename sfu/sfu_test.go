package sfu

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"causeway/sfu/signalling"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
)

// TestCall has two people see and hear each other, by either signalling.
func TestCall(t *testing.T) {
	for name, v1 := range map[string]bool{"v1": true, "v0": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice := w.client(token(t, "room", "alice", everything), "alice", v1)
			alice.connect(nil)
			camera := alice.publish("camera", signalling.Camera)
			voice := alice.publish("voice", signalling.Microphone)
			bob := w.client(token(t, "room", "bob", everything), "bob", v1)
			bob.connect(nil)
			want := map[string]bool{camera.sid: true, voice.sid: true}
			for range 2 {
				track := bob.awaitTrack()
				packets := bob.awaitPackets(track, 20)
				for i := 1; i < len(packets); i++ {
					if packets[i].SequenceNumber != packets[i-1].SequenceNumber+1 {
						t.Errorf("%s: after %d came %d", track.ID(), packets[i-1].SequenceNumber, packets[i].SequenceNumber)
					}
				}
				if stream := track.StreamID(); !strings.HasPrefix(stream, alice.sid+"|") {
					t.Errorf("the stream is %s, and alice is %s", stream, alice.sid)
				}
				delete(want, track.StreamID()[len(alice.sid)+1:])
			}
			if len(want) > 0 {
				t.Errorf("did not come: %v", want)
			}
			alice.await("to hear that she is seen", func(m *signalling.SignalResponse) bool { return m.TrackSubscribed != nil })
			bob.send(&signalling.SignalRequest{Leave: &signalling.LeaveRequest{}})
			alice.awaitUpdate("for bob to go", "bob", func(p *signalling.ParticipantInfo) bool { return p.State == signalling.Disconnected })
		})
	}
}

// TestTokens has tokens that let nobody in, with the reason.
func TestTokens(t *testing.T) {
	w := newWorld(t)
	sign := func(method jwt.SigningMethod, secret any, c claims) string {
		text, err := jwt.NewWithClaims(method, c).SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	good := func(change func(*claims)) claims {
		c := claims{
			RegisteredClaims: jwt.RegisteredClaims{Issuer: testKey, Subject: "alice", ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour))},
			Video:            &VideoGrant{RoomJoin: true, Room: "room"},
		}
		change(&c)
		return c
	}
	same := func(*claims) {}
	secret := []byte(testSecret)
	for name, test := range map[string]struct{ token, want string }{
		"none":             {"", "no access token"},
		"no token":         {"bad", "malformed"},
		"forged":           {sign(jwt.SigningMethodHS256, []byte("another secret"), good(same)), "signature is invalid"},
		"of another key":   {sign(jwt.SigningMethodHS256, secret, good(func(c *claims) { c.Issuer = "other" })), "no key"},
		"unsigned":         {sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good(same)), "signing method"},
		"another method":   {sign(jwt.SigningMethodHS512, secret, good(same)), "signing method"},
		"expired":          {sign(jwt.SigningMethodHS256, secret, good(func(c *claims) { c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Minute)) })), "expired"},
		"never expires":    {sign(jwt.SigningMethodHS256, secret, good(func(c *claims) { c.ExpiresAt = nil })), "exp"},
		"not yet valid":    {sign(jwt.SigningMethodHS256, secret, good(func(c *claims) { c.NotBefore = jwt.NewNumericDate(time.Now().Add(time.Hour)) })), "not valid yet"},
		"without a room":   {sign(jwt.SigningMethodHS256, secret, good(func(c *claims) { c.Video.Room = "" })), "no room"},
		"not for joining":  {sign(jwt.SigningMethodHS256, secret, good(func(c *claims) { c.Video.RoomJoin = false })), "no room"},
		"without a grant":  {sign(jwt.SigningMethodHS256, secret, good(func(c *claims) { c.Video = nil })), "no room"},
		"without a person": {sign(jwt.SigningMethodHS256, secret, good(func(c *claims) { c.Subject = "" })), "names nobody"},
	} {
		for _, path := range []string{"/rtc/validate", "/rtc/v1/validate", "/rtc", "/rtc/v1"} {
			status, text := w.status(path + "?access_token=" + test.token)
			if status != 401 || !strings.Contains(text, test.want) {
				t.Errorf("%s at %s: got %d %q, want 401 with %q", name, path, status, text, test.want)
			}
		}
	}
	if status, text := w.status("/rtc/validate?access_token=" + sign(jwt.SigningMethodHS256, secret, good(same))); status != 200 || text != "success" {
		t.Errorf("a good one: got %d %q", status, text)
	}
}

// TestRemove puts somebody out while the call runs.
func TestRemove(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	w.server.Remove("room", "alice")
	if l := alice.awaitLeave(); l.Reason != signalling.ParticipantRemoved || l.Action != signalling.Disconnect {
		t.Errorf("got %+v", l)
	}
	alice.awaitEnd()
	bob.awaitUpdate("for alice to go", "alice", func(p *signalling.ParticipantInfo) bool { return p.State == signalling.Disconnected })
}

// TestDuplicate has somebody come in twice: the first is put out.
func TestDuplicate(t *testing.T) {
	w := newWorld(t)
	first := w.join("room", "alice", everything)
	w.join("room", "alice", everything)
	if l := first.awaitLeave(); l.Reason != signalling.DuplicateIdentity {
		t.Errorf("got %+v", l)
	}
	first.awaitEnd()
}

// TestRoomUpdate has people hear how many are in the room, and how many of them publish.
func TestRoomUpdate(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	hears := func(c *client, participants, publishers uint32) {
		t.Helper()
		c.await("to hear how many there are", func(m *signalling.SignalResponse) bool {
			return m.RoomUpdate != nil && m.RoomUpdate.Room.NumParticipants == participants && m.RoomUpdate.Room.NumPublishers == publishers
		})
	}
	hears(alice, 1, 0)
	bob := w.join("room", "bob", everything)
	hears(alice, 2, 0)
	bob.publish("sound", signalling.Microphone)
	hears(alice, 2, 1)
	w.server.Remove("room", "bob")
	hears(alice, 1, 0)
	alice.dial(&signalling.JoinRequest{Reconnect: true, ParticipantSID: alice.sid})
	alice.await("to be back", func(m *signalling.SignalResponse) bool { return m.Reconnect != nil })
	hears(alice, 1, 0)
}

// TestCounts has somebody be told at entry of more people than there are when all are told next: that is as many as they were told before, and they are
// told nevertheless. Who is hidden is none of them.
func TestCounts(t *testing.T) {
	w := newWorld(t)
	r := newRoom(w.server, "room")
	enter := func(identity string, may Permission) *Participant {
		p := w.server.newParticipant(Grant{Room: "room", Identity: identity, Permission: may}, &signalling.JoinRequest{}, true)
		if _, err := r.add(p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	tells := func(p *Participant) bool { // nobody takes what is posted to them
		before := p.waiting()
		r.tellCounts()
		return p.waiting() > before
	}
	alice, watches := enter("alice", everything), everything
	watches.Hidden = true
	enter("watcher", watches)
	enter("bob", everything)
	if !tells(alice) || tells(alice) {
		t.Error("what everybody is to know is not told once")
	}
	carol := enter("carol", everything)
	if n := r.describe().NumParticipants; n != 3 {
		t.Errorf("carol is told of %d people", n)
	}
	r.remove(r.byIdentity("bob"))
	if !tells(carol) || tells(carol) {
		t.Error("carol is left to think that there are three")
	}
	if n := r.describe().NumParticipants; n != 2 {
		t.Errorf("%d people are there", n)
	}
}

// TestNeverConnects has somebody who is there by signalling alone: they are put out after a while, and told to come anew.
func TestNeverConnects(t *testing.T) {
	w := newWorld(t)
	alice := w.client(token(t, "room", "alice", everything), "alice", true)
	alice.dial(&signalling.JoinRequest{})
	alice.await("to be let in", func(m *signalling.SignalResponse) bool { return m.Join != nil })
	p, letGo := w.hold("alice")
	p.joined = p.joined.Add(-mediaWithin)
	letGo()
	if l := alice.awaitLeave(); l.Reason != signalling.ConnectionTimeout || l.Action != signalling.Reconnect {
		t.Errorf("got %+v", l)
	}
	alice.awaitEnd()
}

// gate holds those who are to be admitted while it is shut.
type gate struct {
	shut    atomic.Bool
	waiting chan context.Context // of a request that is held
	opened  context.Context
	open    context.CancelFunc
}

func (g *gate) admit(ctx context.Context, _ *Grant) error {
	if g.shut.Load() {
		g.waiting <- ctx
		<-g.opened.Done()
	}
	return nil
}

// gatedWorld is a world with a gate, which opens with the end of the test at the latest.
func gatedWorld(t *testing.T) (*world, *gate) {
	g := &gate{waiting: make(chan context.Context, 1)}
	g.opened, g.open = context.WithCancel(t.Context())
	return newWorld(t, func(c *Config) { c.Admit = g.admit }), g
}

// hold has a client ask, and is held by the gate. The channel is closed when the client has been answered; the context is that of its request.
func (g *gate) hold(ctx context.Context, c *client, join *signalling.JoinRequest) (request context.Context, answered <-chan struct{}) {
	c.t.Helper()
	g.shut.Store(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, _, err := websocket.Dial(ctx, c.address(join), nil); err == nil {
			c.mu.Lock()
			c.conn = conn
			c.mu.Unlock()
			go c.listen(conn)
		}
	}()
	select {
	case request = <-g.waiting:
	case <-time.After(within):
		c.t.Fatalf("%s does not ask", c.identity)
	}
	g.shut.Store(false)
	return request, done
}

// TestOvertaken has a client ask twice, as Element Call does when it learns of another way to the same server: it is the later one that stays, however
// long the earlier one takes to be admitted, and the later one to be done.
func TestOvertaken(t *testing.T) {
	for name, resumes := range map[string]struct{ earlier, later bool }{
		"both come": {}, "both resume": {true, true}, "one comes, then one resumes": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, g := gatedWorld(t)
			alice := token(t, "room", "alice", everything)
			stays, early := w.client(alice, "alice", true), w.client(alice, "alice", true)
			if resumes.later {
				stays.connect(nil)
			}
			resuming, earlier := &signalling.JoinRequest{Reconnect: true, ParticipantSID: stays.sid}, &signalling.JoinRequest{}
			if resumes.earlier {
				earlier = resuming
			}
			_, answered := g.hold(t.Context(), early, earlier)
			letGo := func() {}
			if resumes.later {
				var p *Participant
				p, letGo = w.hold("alice")
				letGo = sync.OnceFunc(letGo)
				t.Cleanup(letGo)
				stays.dial(resuming)
				p.awaitOrder(t, 3) // those who have asked: stays, early, and stays again
			} else {
				stays.connect(nil)
			}
			g.open()
			<-answered
			if l := early.awaitLeave(); l.Reason != signalling.DuplicateIdentity || l.Action != signalling.Disconnect {
				t.Errorf("the earlier one is told %+v", l)
			}
			early.awaitEnd()
			letGo()
			if resumes.later {
				stays.await("to be back", func(m *signalling.SignalResponse) bool { return m.Reconnect != nil })
			}
			stays.pong(77)
		})
	}
}

// awaitOrder waits until a session of the participant has come that was the nth to be asked for.
func (p *Participant) awaitOrder(t *testing.T, n uint64) {
	t.Helper()
	for end := time.Now().Add(within); ; runtime.Gosched() {
		p.room.mu.Lock()
		order := p.order
		p.room.mu.Unlock()
		switch {
		case order >= n:
			return
		case time.Now().After(end):
			t.Fatalf("the latest session is number %d", order)
		}
	}
}

// TestGivenUp has a client give up before it was let in: nobody comes in.
func TestGivenUp(t *testing.T) {
	w, g := gatedWorld(t)
	ctx, giveUp := context.WithCancel(t.Context())
	request, answered := g.hold(ctx, w.client(token(t, "room", "alice", everything), "alice", true), &signalling.JoinRequest{})
	giveUp()
	<-answered
	<-request.Done() // the server has noticed
	g.open()
	if m := w.awaitMetrics("somebody has given up", func(m Metrics) bool { return m.Refused["given_up"] == 1 }); m.Joined != 0 || m.Rooms != 0 {
		t.Errorf("%d have come in, %d rooms are there", m.Joined, m.Rooms)
	}
}

// TestReplaced has somebody come in a second time: that they have come is told before that they have gone, so that they have been there all the time.
func TestReplaced(t *testing.T) {
	var w *world
	told := make(chan string, 4)
	w = newWorld(t, func(c *Config) {
		var first *Participant
		c.Joined = func(who Presence, _ Permission) {
			if first == nil {
				first = w.server.find(who.Room, who.Identity)
				told <- "come"
				return
			}
			// Had the first one been told to leave, it would have gone before it answers.
			answer := make(chan struct{})
			if first.post(func() { close(answer) }) {
				select {
				case <-answer:
				case <-first.dead:
				}
			}
			for isDead(first) && first.post(func() {}) {
				runtime.Gosched()
			}
			told <- "come again"
		}
		c.Left = func(Presence) { told <- "gone" }
	})
	w.join("room", "alice", everything)
	w.join("room", "alice", everything)
	for _, want := range []string{"come", "come again", "gone"} {
		if got := <-told; got != want {
			t.Errorf("%q is told where %q should be", got, want)
		}
	}
}

// TestSeenReplaced has somebody come in a second time while their first participant takes long to end: others are told that the first has gone before
// they are told of the second, and of the first no more, as clients know participants by their identity; the second is told nothing of the first.
func TestSeenReplaced(t *testing.T) {
	gone := make(chan Presence, 2)
	w := newWorld(t, func(c *Config) { c.Left = func(who Presence) { gone <- who } })
	first, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	first.publish("sound", signalling.Microphone)
	bob.awaitPackets(bob.awaitTrack(), 1)
	p, letGo := w.hold("alice")
	letGo = sync.OnceFunc(letGo)
	t.Cleanup(letGo)
	second := w.join("room", "alice", everything)
	if err := p.room.comeBack(p, &session{order: 100}, nil); !errors.Is(err, errNotThere) {
		t.Errorf("who is replaced resumes: %v; want %v", err, errNotThere)
	}
	if missed := p.room.missed(map[string]uint32{first.sid: 1}); len(missed) != 1 || missed[0].SID != first.sid || missed[0].State != signalling.Disconnected {
		t.Errorf("who comes back now has missed %+v; want that %s has gone", missed, first.sid)
	}
	second.publish("sound", signalling.Microphone)
	bob.awaitUpdate("for alice to publish again", "alice", func(p *signalling.ParticipantInfo) bool { return p.SID == second.sid && len(p.Tracks) == 1 })
	letGo()
	if who := <-gone; who.SID != first.sid {
		t.Errorf("%+v has gone", who)
	}
	bob.pong(1) // what was told until then has come
	second.pong(1)
	if got, want := bob.heardOf("alice"), []string{first.sid, first.sid + " has gone", second.sid}; !slices.Equal(got, want) {
		t.Errorf("bob is told %q; want %q", got, want)
	}
	if got, want := second.heardOf("alice"), []string{second.sid}; !slices.Equal(got, want) {
		t.Errorf("alice is told %q of herself; want %q", got, want)
	}
}

// heardOf gives of which participants of an identity the client was told in turn, and which of them have gone.
func (c *client) heardOf(identity string) (heard []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.got {
		var infos []*signalling.ParticipantInfo
		if m.Join != nil {
			infos = m.Join.OtherParticipants
		}
		if m.Update != nil {
			infos = m.Update.Participants
		}
		for _, p := range infos {
			said := p.SID
			if p.State == signalling.Disconnected {
				said += " has gone"
			}
			if p.Identity == identity && (len(heard) == 0 || heard[len(heard)-1] != said) {
				heard = append(heard, said)
			}
		}
	}
	return heard
}

func isDead(p *Participant) bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// TestPermission takes away what somebody may do, while they do it.
func TestPermission(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	camera := alice.publish("camera", signalling.Camera)
	seen := bob.awaitTrack()
	bob.awaitPackets(seen, 5)
	may := everything
	may.Sources = []string{"microphone"}
	w.server.SetPermission("room", "alice", may)
	m := alice.await("for its track to end", func(m *signalling.SignalResponse) bool { return m.TrackUnpublished != nil })
	if m.TrackUnpublished.TrackSID != camera.sid {
		t.Errorf("ended %s", m.TrackUnpublished.TrackSID)
	}
	bob.awaitUpdate("for alice's camera to end", "alice", func(p *signalling.ParticipantInfo) bool {
		return len(p.Tracks) == 0 && len(p.Permission.CanPublishSources) == 1
	})
	bob.awaitSilence(seen) // whatever alice goes on to send
	alice.send(&signalling.SignalRequest{AddTrack: &signalling.AddTrackRequest{CID: "again", Type: signalling.Video, Source: signalling.Camera}})
	r := alice.await("to be refused", func(m *signalling.SignalResponse) bool { return m.RequestResponse != nil }).RequestResponse
	if r.Reason != signalling.RequestNotAllowed || r.AddTrack.CID != "again" {
		t.Errorf("got %+v", r)
	}
}

// TestTooManyTracks announces many.
func TestTooManyTracks(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.Tracks = 3 })
	alice := w.join("room", "alice", everything)
	for range 10_000 {
		alice.send(&signalling.SignalRequest{AddTrack: &signalling.AddTrackRequest{CID: "c", Type: signalling.Video, Source: signalling.Camera}})
	}
	taken, refused := 0, 0
	for range 10_000 {
		m := alice.await("for an answer", func(m *signalling.SignalResponse) bool { return m.TrackPublished != nil || m.RequestResponse != nil })
		if m.TrackPublished != nil {
			taken++
		} else if refused++; m.RequestResponse.Reason != signalling.RequestLimitExceeded {
			t.Fatalf("got %+v", m.RequestResponse)
		}
	}
	if taken != 3 || refused != 9997 {
		t.Errorf("%d were taken, and %d refused", taken, refused)
	}
}

// TestResume has signalling break and come back: the participant is the same, and its media goes on.
func TestResume(t *testing.T) {
	for name, v1 := range map[string]bool{"v1": true, "v0": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice := w.join("room", "alice", everything)
			alice.publish("camera", signalling.Camera)
			bob := w.client(token(t, "room", "bob", everything), "bob", v1)
			bob.connect(nil)
			track := bob.awaitTrack()
			bob.awaitPackets(track, 5)
			_ = bob.conn.CloseNow()
			bob.awaitEnd()
			alice.publish("screen", signalling.ScreenShare) // while bob's signalling is away
			bob.dial(&signalling.JoinRequest{Reconnect: true, ParticipantSID: bob.sid})
			bob.await("to be back", func(m *signalling.SignalResponse) bool { return m.Reconnect != nil })
			bob.awaitPackets(track, 20)
			bob.awaitPackets(bob.awaitTrack(), 5)
		})
	}
}

// TestResumeOfAnother has somebody come back by the session of another.
func TestResumeOfAnother(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	mallory := w.client(token(t, "room", "mallory", everything), "mallory", true)
	mallory.dial(&signalling.JoinRequest{Reconnect: true, ParticipantSID: alice.sid})
	if l := mallory.awaitLeave(); l.Reason != signalling.StateMismatch || l.Action != signalling.Reconnect {
		t.Errorf("got %+v", l)
	}
	mallory.awaitEnd()
	alice.send(&signalling.SignalRequest{PingReq: &signalling.Ping{Timestamp: 7}})
	m := alice.await("for a pong", func(m *signalling.SignalResponse) bool { return m.PongResp != nil })
	if m.PongResp.LastPingTimestamp != 7 {
		t.Errorf("got %+v", m.PongResp)
	}
}

// TestStop tells everybody that the server stops.
func TestStop(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	w.server.close()
	if l := alice.awaitLeave(); l.Reason != signalling.ServerShutdown || l.Action != signalling.Reconnect {
		t.Errorf("got %+v", l)
	}
	late := w.client(token(t, "room", "bob", everything), "bob", true)
	late.dial(&signalling.JoinRequest{})
	if l := late.awaitLeave(); l.Reason != signalling.ServerShutdown {
		t.Errorf("got %+v", l)
	}
}

// TestRefresh has somebody come back by the token that the server has given them.
func TestRefresh(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	m := alice.await("for another token", func(m *signalling.SignalResponse) bool { return m.RefreshToken != nil })
	again := w.client(*m.RefreshToken, "alice", true)
	again.connect(nil)
	if l := alice.awaitLeave(); l.Reason != signalling.DuplicateIdentity {
		t.Errorf("got %+v", l)
	}
	g, err := w.server.verify(*m.RefreshToken)
	if err != nil || g.Room != "room" || g.Identity != "alice" || !g.Permission.Metadata || !g.Permission.Publish {
		t.Errorf("the token says %+v, %v", g, err)
	}
}

// TestPreflight has browsers ask whether pages of other origins may ask.
func TestPreflight(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/rtc/validate", "/rtc/v1/validate"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, w.http.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: got %d %v", path, answer.StatusCode, answer.Header)
		}
	}
}

// TestPublicAddress tells clients another address beside that of this machine.
func TestPublicAddress(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.PublicIPs = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("203.0.113.7")} }
	})
	alice := w.join("room", "alice", everything)
	alice.mu.Lock()
	alice.read = 0
	alice.mu.Unlock()
	m := alice.await("for an answer", func(m *signalling.SignalResponse) bool { return m.Answer != nil })
	if sdp := m.Answer.SDP; !strings.Contains(sdp, " 203.0.113.7 ") || !strings.Contains(sdp, " 127.0.0.1 ") {
		t.Errorf("the answer tells of\n%s", sdp)
	}
}

package sfu

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"causeway/sfu/network"
	"causeway/sfu/signalling"

	"github.com/coder/websocket"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// joinPath is the address of /rtc/v1 with a first message as it is.
func joinPath(token string, wrapped []byte) string {
	q := url.Values{"access_token": {token}, "join_request": {base64.URLEncoding.EncodeToString(wrapped)}}
	return "/rtc/v1?" + q.Encode()
}

// TestHostileJoin has first messages that make no sense, or are too much.
func TestHostileJoin(t *testing.T) {
	w := newWorld(t)
	tok := token(t, "room", "alice", everything)
	pack := func(c signalling.Compression, b []byte) []byte {
		return signalling.Marshal(&signalling.WrappedJoinRequest{Compression: c, JoinRequest: b})
	}
	zip := func(b []byte) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, _ = z.Write(b)
		_ = z.Close()
		return out.Bytes()
	}
	bomb := zip(make([]byte, 100<<20))
	if len(bomb) > 200<<10 {
		t.Fatal("the bomb is too large to be sent")
	}
	for name, test := range map[string]struct {
		path string
		want string
	}{
		"not base64":      {"/rtc/v1?access_token=" + tok + "&join_request=***", "base64"},
		"no message":      {joinPath(tok, []byte{0xff}), "read join_request"},
		"not packed":      {joinPath(tok, pack(signalling.Gzip, []byte("plain"))), "unpack"},
		"cut off":         {joinPath(tok, pack(signalling.Gzip, zip(make([]byte, 1000))[:20])), "unpack"},
		"a bomb":          {joinPath(tok, pack(signalling.Gzip, bomb)), "larger than 1 MB"},
		"no join request": {joinPath(tok, pack(signalling.NoCompression, []byte{0x0a, 0x05})), "read join_request"},
		"too many tracks": {joinPath(tok, pack(signalling.Gzip, zip(bytes.Repeat([]byte{0x2a, 0x00}, 10_000)))), "too many"},
	} {
		if status, text := w.status(test.path); status != 400 || !strings.Contains(text, test.want) {
			t.Errorf("%s: got %d %q, want 400 with %q", name, status, text, test.want)
		}
	}
	if status, text := w.status(joinPath(tok, pack(signalling.NoCompression, make([]byte, maxJoin)))); status != 431 {
		t.Errorf("too large: got %d %q, want 431", status, text)
	}
	if n := len(w.server.all()); n != 0 {
		t.Errorf("%d rooms were made", n)
	}
}

// TestBadOffers has descriptions that make no sense: who sends one is put out, and nobody else.
func TestBadOffers(t *testing.T) {
	w := newWorld(t)
	bob := w.join("room", "bob", everything)
	for name, text := range map[string]string{
		"nothing":    "",
		"no SDP":     "hello",
		"no ICE":     "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\na=rtpmap:111 opus/48000/2\r\n",
		"many lines": "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + strings.Repeat("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\n", 2000),
	} {
		mallory := w.join("room", "mallory", everything)
		mallory.send(&signalling.SignalRequest{Offer: &signalling.SessionDescription{Type: "offer", SDP: text, ID: 2}})
		mallory.send(&signalling.SignalRequest{Answer: &signalling.SessionDescription{Type: "answer", SDP: text, ID: 1}})
		if l := mallory.awaitLeave(); l.Reason != signalling.MediaFailure {
			t.Errorf("%s: got %+v", name, l)
		}
		mallory.awaitEnd()
	}
	bob.send(&signalling.SignalRequest{PingReq: &signalling.Ping{Timestamp: 1}})
	bob.await("for a pong", func(m *signalling.SignalResponse) bool { return m.PongResp != nil })
}

// TestGarbage has frames that are no messages: they are passed over.
func TestGarbage(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	for _, b := range [][]byte{{}, {0xff}, {0x1a, 0x80}, []byte("hello"), bytes.Repeat([]byte{0xff}, 1000)} {
		if err := alice.conn.Write(t.Context(), websocket.MessageBinary, b); err != nil {
			t.Fatal(err)
		}
	}
	trickle := func(text string) {
		alice.send(&signalling.SignalRequest{Trickle: &signalling.TrickleRequest{CandidateInit: text}})
		alice.send(&signalling.SignalRequest{Trickle: &signalling.TrickleRequest{CandidateInit: text, Target: signalling.Subscriber}})
	}
	for _, text := range []string{"", "{", "null", `{"candidate":"x"}`, `{"candidate":"candidate:1 1 udp 1 999.1.1.1 1 typ host"}`} {
		trickle(text)
	}
	alice.send(&signalling.SignalRequest{
		Subscription: &signalling.UpdateSubscription{TrackSIDs: []string{"TR_none"}, Subscribe: true},
	})
	alice.send(&signalling.SignalRequest{TrackSetting: &signalling.UpdateTrackSettings{TrackSIDs: []string{"TR_none"}}})
	alice.send(&signalling.SignalRequest{Mute: &signalling.MuteTrackRequest{SID: "TR_none", Muted: true}})
	alice.send(&signalling.SignalRequest{SyncState: &signalling.SyncState{PublishTracks: []signalling.TrackPublished{{}}}})
	alice.send(&signalling.SignalRequest{PingReq: &signalling.Ping{Timestamp: 3}})
	alice.await("for a pong", func(m *signalling.SignalResponse) bool { return m.PongResp != nil })
}

// TestLargeFrame ends signalling that sends too much at once.
func TestLargeFrame(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	_ = alice.conn.Write(t.Context(), websocket.MessageBinary, make([]byte, maxFrame+1))
	alice.awaitEnd()
}

// TestNeverReads has somebody who does not read be cut off, while the others go on.
func TestNeverReads(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	talkers := []*client{alice, w.join("room", "bob", everything), w.join("room", "carol", everything)} // each can say only so much
	deaf := w.client(token(t, "room", "deaf", everything), "deaf", true)
	address := strings.Replace(deaf.address(&signalling.JoinRequest{}), "ws://", "", 1)
	host, path, _ := strings.Cut(address, "/")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(1 << 10)
	fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path)
	alice.awaitUpdate("for who is deaf", "deaf", func(*signalling.ParticipantInfo) bool { return true })
	p := w.server.find("room", "deaf")
	session := make(chan *session, 1)
	p.post(func() { session <- p.session })
	s := <-session
	large := strings.Repeat("x", maxMetadata-1)
	for n, since := 0, time.Now(); ; n++ {
		c := talkers[n%len(talkers)]
		c.send(&signalling.SignalRequest{UpdateMetadata: &signalling.UpdateParticipantMetadata{Metadata: fmt.Sprint(n%10) + large, RequestID: uint32(n + 1)}})
		c.await("for an answer", func(m *signalling.SignalResponse) bool { return m.RequestResponse != nil })
		s.mu.Lock()
		ending, waiting := s.ending, s.bytes
		s.mu.Unlock()
		if waiting > maxUnsent+maxMetadata+4096 {
			t.Fatalf("%d bytes wait", waiting)
		}
		if ending {
			return
		}
		if time.Since(since) > within {
			t.Fatal("it is still there")
		}
	}
}

// TestFull has more come than a room, or the server, takes.
func TestFull(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.Participants, c.Limits.Rooms = 2, 1 })
	w.join("room", "a", everything)
	w.join("room", "b", everything)
	w.join("room", "b", everything) // instead of the one before
	for _, room := range []string{"room", "another"} {
		c := w.client(token(t, room, "c", everything), "c", true)
		c.dial(&signalling.JoinRequest{})
		if l := c.awaitLeave(); l.Reason != signalling.JoinFailure {
			t.Errorf("%s: got %+v", room, l)
		}
	}
}

// TestRoomsEnd has nothing be left of a call that has ended.
func TestRoomsEnd(t *testing.T) {
	left := make(chan string, 10)
	w := newWorld(t, func(c *Config) { c.Left = func(who Presence) { left <- who.Room + "/" + who.Identity } })
	alice := w.join("room", "alice", everything)
	alice.publish("camera", signalling.Camera)
	alice.send(&signalling.SignalRequest{Leave: &signalling.LeaveRequest{}})
	select {
	case got := <-left:
		if got != "room/alice" {
			t.Errorf("left: %s", got)
		}
	case <-time.After(within):
		t.Fatal("nobody leaves")
	}
	if n := len(w.server.all()); n != 0 {
		t.Errorf("%d rooms are left", n)
	}
}

// stuffed is a proxy before the SFU's TCP port that stops to hand on what the SFU sends.
type stuffed struct {
	listener net.Listener
	stop     chan struct{}
}

func (s *stuffed) run(t *testing.T, to string) {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() {
			_ = client.Close()
			_ = server.Close()
		})
		go func() { _, _ = io.Copy(server, client) }()
		go func() {
			b := make([]byte, 4096)
			for {
				n, err := server.Read(b)
				if err != nil {
					return
				}
				select {
				case <-s.stop:
					return
				default:
				}
				if _, err := client.Write(b[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// TestNeverReadsMedia has somebody who gets media by TCP stop to read it: the others go on to get all of it.
func TestNeverReadsMedia(t *testing.T) {
	w := newWorld(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	proxy := &stuffed{listener: listener, stop: make(chan struct{})}
	go proxy.run(t, w.server.cfg.UDP.(*network.Mux).GetListenAddresses()[0].String())

	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	deaf := w.client(token(t, "room", "deaf", everything), "deaf", true)
	deaf.types = []webrtc.NetworkType{webrtc.NetworkTypeTCP4}
	candidate := regexp.MustCompile(`a=candidate:.*\r\n`)
	deaf.onAnswer = func(sdp string) string {
		tcp := fmt.Sprintf("a=candidate:1 1 tcp 1 127.0.0.1 %d typ host tcptype passive\r\n", listener.Addr().(*net.TCPAddr).Port)
		done := false
		return candidate.ReplaceAllStringFunc(sdp, func(string) string {
			if done {
				return ""
			}
			done = true
			return tcp
		})
	}
	deaf.connect(nil)
	camera := alice.announce("camera", signalling.Camera)
	full := make(chan struct{})
	const packets, size = 8000, 1100 // more than the kernel and the SFU keep for one connection
	go func() {
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		for n, large := 0, 0; large < packets; {
			select {
			case <-tick.C:
			case <-t.Context().Done():
				return
			}
			for range 8 {
				payload := frame(n, true)
				select {
				case <-full:
					payload = append(payload, make([]byte, size)...)
					large++
				default:
				}
				_ = camera.track.WriteRTP(&rtp.Packet{
					Header:  rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: uint32(n) * 45, Marker: true},
					Payload: payload,
				})
				n++
			}
		}
	}()
	deaf.awaitPackets(deaf.awaitTrack(), 1)
	close(proxy.stop)
	track := bob.awaitTrack()
	close(full)
	for large := 0; large < packets*99/100; {
		_ = track.SetReadDeadline(time.Now().Add(within))
		p, _, err := track.ReadRTP()
		if err != nil {
			t.Fatalf("bob gets %d of %d packets: %v", large, packets, err)
		}
		if len(p.Payload) > size {
			large++
		}
	}
}

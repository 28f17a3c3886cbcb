package sfu

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/sfu/network"
	"causeway/sfu/signalling"

	"github.com/coder/websocket"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	pion "github.com/pion/transport/v4"
	"github.com/pion/webrtc/v4"
	"github.com/rs/zerolog"
)

const (
	testKey    = "key"
	testSecret = "a secret for tests, which is long enough"
)

// within is how long anything may take here.
const within = 30 * time.Second

// world is a server in a test.
type world struct {
	t      *testing.T
	server *Server
	http   *httptest.Server
}

// newWorld starts a server on loopback.
func newWorld(t *testing.T, configure ...func(*Config)) *world {
	t.Helper()
	n := openNetwork(t)
	cfg := Config{
		Keys: map[string]string{testKey: testSecret}, UDP: n.UDP, TCP: n.TCP, Flush: n.Flush, Loopback: true,
		Addresses: func(ip net.IP) bool { return ip.IsLoopback() }, Log: zerolog.New(zerolog.NewTestWriter(t)),
	}
	for _, f := range configure {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		stop()
		running.Wait()
		h.Close()
		_ = cfg.UDP.Close()
		_ = n.Close()
	})
	return &world{t: t, server: s, http: h}
}

// openNetwork opens the sockets of an SFU on a port of loopback that is free.
func openNetwork(t *testing.T) *network.Network {
	t.Helper()
	address := netip.MustParseAddr("127.0.0.1")
	for attempt := 1; ; attempt++ {
		free, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(address, 0)))
		if err != nil {
			t.Fatal(err)
		}
		port := free.LocalAddr().(*net.UDPAddr).Port
		_ = free.Close()
		n, err := network.Listen(network.Config{Addresses: []netip.Addr{address}, UDPPort: port, TCPPort: port})
		if err == nil {
			return n
		}
		if attempt == 10 {
			t.Fatal(err)
		}
	}
}

// everything is what most participants may do.
var everything = Permission{Publish: true, Subscribe: true, Data: true, Metadata: true}

// token makes an access token for somebody in a room.
func token(t *testing.T, room, identity string, may Permission) string {
	t.Helper()
	text, err := Mint(testKey, testSecret, Grant{Room: room, Identity: identity, Permission: may}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// client is somebody in a test: signalling by hand, media by pion.
type client struct {
	t        *testing.T
	w        *world
	identity string
	v1       bool
	token    string
	sid      string
	conn     *websocket.Conn
	pc       *webrtc.PeerConnection // v1: the only one; v0: that which publishes
	sub      *webrtc.PeerConnection

	onChannel func(*webrtc.DataChannel) // is shown the data channels
	onAnswer  func(sdp string) string   // may change what the server answers
	onOffer   func(sdp string) string   // may change what it offers
	types     []webrtc.NetworkType      // by which it sends; nil for UDP
	net       pion.Net                  // that it is on; nil for this machine's
	local     func(net.IP) bool         // which addresses are its own; nil for loopback
	udp       func() ice.UDPMux         // opens what a connection sends by; nil for sockets of its own
	// layers is whether it can send several. Who can looks for them in streams of which it has not been told yet, too, and pion reads these in two
	// goroutines then.
	layers bool
	engine func(layers bool) (*webrtc.MediaEngine, error) // what it knows; nil for all that the server does

	mu      sync.Mutex // guards what follows
	got     []*signalling.SignalResponse
	read    int
	news    chan struct{}
	tracks  chan *webrtc.TrackRemote
	closed  bool
	offerID uint32
	busy    bool
	again   bool
}

// join brings somebody into a room, by v1.
func (w *world) join(room, identity string, may Permission) *client {
	w.t.Helper()
	c := w.client(token(w.t, room, identity, may), identity, true)
	c.connect(nil)
	return c
}

// joinLayers brings somebody into a room who can send several layers.
func (w *world) joinLayers(room, identity string) *client {
	w.t.Helper()
	c := w.client(token(w.t, room, identity, everything), identity, true)
	c.layers = true
	c.connect(nil)
	return c
}

func (w *world) client(token, identity string, v1 bool) *client {
	return &client{
		t: w.t, w: w, identity: identity, v1: v1, token: token, news: make(chan struct{}, 1), tracks: make(chan *webrtc.TrackRemote, 64),
	}
}

// newPC makes a peer connection of a client.
func (c *client) newPC() *webrtc.PeerConnection {
	c.t.Helper()
	engine := c.engine
	if engine == nil {
		engine = mediaEngine
	}
	m, err := engine(c.layers)
	if err != nil {
		c.t.Fatal(err)
	}
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	local := c.local
	if local == nil {
		local = net.IP.IsLoopback
	}
	s.SetIPFilter(local)
	types := c.types
	if types == nil {
		types = []webrtc.NetworkType{webrtc.NetworkTypeUDP4}
	}
	s.SetNetworkTypes(types)
	if c.udp != nil {
		s.SetICEUDPMux(c.udp())
	}
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	if c.net != nil {
		s.SetNet(c.net)
	}
	registry := &interceptor.Registry{}
	if c.layers {
		err = webrtc.RegisterDefaultInterceptors(m, registry)
	} else {
		err = errors.Join(webrtc.ConfigureNack(m, registry), webrtc.ConfigureRTCPReports(registry), webrtc.ConfigureTWCCSender(m, registry))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(
		webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s), webrtc.WithInterceptorRegistry(registry),
	).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = pc.Close() })
	pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { c.tracks <- t })
	return pc
}

// describe makes an offer, with the addresses of this machine.
func (c *client) describe() (string, error) {
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(offer); err != nil {
		return "", err
	}
	<-gathered
	text := c.pc.LocalDescription().SDP
	if c.onOffer != nil {
		text = c.onOffer(text)
	}
	return text, nil
}

func (c *client) mustDescribe() string {
	c.t.Helper()
	text, err := c.describe()
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// connect joins, and waits until the client is in.
func (c *client) connect(change func(*signalling.JoinRequest)) {
	c.t.Helper()
	join := &signalling.JoinRequest{ConnectionSettings: &signalling.ConnectionSettings{AutoSubscribe: true}}
	c.pc = c.newPC()
	if c.v1 {
		for _, label := range []string{labelReliable, labelLossy} {
			c.channel(label)
		}
		c.sections(1, 1)
		c.offerID, c.busy = 1, true
		join.PublisherOffer = &signalling.SessionDescription{Type: "offer", SDP: c.mustDescribe(), ID: 1}
	} else {
		c.sub = c.newPC()
	}
	if change != nil {
		change(join)
	}
	c.dial(join)
	m := c.await("to be in", func(m *signalling.SignalResponse) bool { return m.Join != nil })
	c.sid = m.Join.Participant.SID
}

// channel opens a data channel.
func (c *client) channel(label string) {
	c.t.Helper()
	d, err := c.pc.CreateDataChannel(label, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.onChannel != nil {
		c.onChannel(d)
	}
}

// dial opens the WebSocket, and reads from it.
func (c *client) dial(join *signalling.JoinRequest) {
	c.t.Helper()
	conn, r, err := websocket.Dial(c.t.Context(), c.address(join), nil)
	if err != nil {
		c.t.Fatalf("%s: %v (%v)", c.identity, err, r)
	}
	conn.SetReadLimit(8 << 20)
	c.mu.Lock()
	c.conn, c.closed = conn, false
	c.mu.Unlock()
	go c.listen(conn)
	go c.ping(conn)
}

// ping says now and then that the client is there.
func (c *client) ping(conn *websocket.Conn) {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		select {
		case <-c.t.Context().Done():
			return
		case <-tick.C:
			ping := signalling.Marshal(&signalling.SignalRequest{PingReq: &signalling.Ping{Timestamp: time.Now().UnixMilli()}})
			if conn.Write(c.t.Context(), websocket.MessageBinary, ping) != nil {
				return
			}
		}
	}
}

func (c *client) address(join *signalling.JoinRequest) string {
	base := strings.Replace(c.w.http.URL, "http", "ws", 1)
	q := url.Values{"access_token": {c.token}}
	if !c.v1 {
		q.Set("auto_subscribe", "1")
		if join.Reconnect {
			q.Set("reconnect", "1")
			q.Set("sid", join.ParticipantSID)
		}
		return base + "/rtc?" + q.Encode()
	}
	wrapped := signalling.Marshal(&signalling.WrappedJoinRequest{JoinRequest: signalling.Marshal(join)})
	q.Set("join_request", base64.URLEncoding.EncodeToString(wrapped))
	return base + "/rtc/v1?" + q.Encode()
}

func (c *client) listen(conn *websocket.Conn) {
	for {
		_, b, err := conn.Read(c.t.Context())
		if err != nil {
			break
		}
		m := new(signalling.SignalResponse)
		if err := signalling.Unmarshal(b, m); err != nil {
			c.t.Errorf("%s: %v", c.identity, err)
		}
		c.negotiate(m)
		c.mu.Lock()
		c.got = append(c.got, m)
		c.mu.Unlock()
		c.ring()
	}
	c.mu.Lock()
	if c.conn == conn {
		c.closed = true
	}
	c.mu.Unlock()
	c.ring()
}

func (c *client) ring() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// negotiate does what clients do with descriptions.
func (c *client) negotiate(m *signalling.SignalResponse) {
	switch {
	case m.Answer != nil:
		answer := m.Answer.SDP
		if c.onAnswer != nil {
			answer = c.onAnswer(answer)
		}
		_ = c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
		c.mu.Lock()
		c.busy = false
		again := c.again
		c.again = false
		c.mu.Unlock()
		if again {
			c.offer()
		}
	case m.MediaSectionsRequirement != nil:
		c.sections(int(m.MediaSectionsRequirement.NumAudios), int(m.MediaSectionsRequirement.NumVideos))
		c.offer()
	case m.Offer != nil && c.sub != nil:
		_ = c.sub.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: m.Offer.SDP})
		answer, err := c.sub.CreateAnswer(nil)
		if err != nil {
			return
		}
		gathered := webrtc.GatheringCompletePromise(c.sub)
		_ = c.sub.SetLocalDescription(answer)
		<-gathered
		c.send(&signalling.SignalRequest{Answer: &signalling.SessionDescription{
			Type: "answer", SDP: c.sub.LocalDescription().SDP, ID: m.Offer.ID,
		}})
	}
}

// offer makes an offer, when the last one has been answered.
func (c *client) offer() {
	c.mu.Lock()
	if c.busy {
		c.again = true
		c.mu.Unlock()
		return
	}
	c.busy = true
	c.offerID++
	id := c.offerID
	c.mu.Unlock()
	text, err := c.describe()
	switch {
	case err == nil:
		c.send(&signalling.SignalRequest{Offer: &signalling.SessionDescription{Type: "offer", SDP: text, ID: id}})
	case c.pc.ConnectionState() != webrtc.PeerConnectionStateClosed: // as it is at the end of the test
		c.t.Errorf("%s makes an offer: %v", c.identity, err)
	}
}

// sections adds media sections to receive in, those for sound first, as livekit-client does.
func (c *client) sections(audios, videos int) {
	for n := range audios + videos {
		kind := webrtc.RTPCodecTypeAudio
		if n >= audios {
			kind = webrtc.RTPCodecTypeVideo
		}
		_, _ = c.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	}
}

func (c *client) send(m *signalling.SignalRequest) {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	_ = conn.Write(c.t.Context(), websocket.MessageBinary, signalling.Marshal(m))
}

// await gives the next message that is one of those; those before it are passed over.
func (c *client) await(what string, is func(*signalling.SignalResponse) bool) *signalling.SignalResponse {
	c.t.Helper()
	timeout := time.After(within)
	for {
		c.mu.Lock()
		for c.read < len(c.got) {
			m := c.got[c.read]
			c.read++
			if is(m) {
				c.mu.Unlock()
				return m
			}
		}
		closed := c.closed
		c.mu.Unlock()
		if closed {
			c.t.Fatalf("%s waits %s, and its signalling has ended", c.identity, what)
		}
		select {
		case <-c.news:
		case <-timeout:
			c.t.Fatalf("%s waits %s", c.identity, what)
		}
	}
}

// awaitEnd waits until signalling has ended.
func (c *client) awaitEnd() {
	c.t.Helper()
	timeout := time.After(within)
	for {
		c.mu.Lock()
		closed := c.closed
		c.mu.Unlock()
		if closed {
			return
		}
		select {
		case <-c.news:
		case <-timeout:
			c.t.Fatalf("%s waits for the end", c.identity)
		}
	}
}

// awaitLeave waits to be put out, and gives what is said of it.
func (c *client) awaitLeave() *signalling.LeaveRequest {
	c.t.Helper()
	return c.await("to be put out", func(m *signalling.SignalResponse) bool { return m.Leave != nil }).Leave
}

// awaitUpdate waits for news of somebody.
func (c *client) awaitUpdate(what, identity string, is func(*signalling.ParticipantInfo) bool) *signalling.ParticipantInfo {
	c.t.Helper()
	var found *signalling.ParticipantInfo
	c.await(what, func(m *signalling.SignalResponse) bool {
		if m.Update == nil {
			return false
		}
		for _, p := range m.Update.Participants {
			if p.Identity == identity && is(p) {
				found = p
				return true
			}
		}
		return false
	})
	return found
}

// status gives the answer to an attempt to come in that is refused.
func (w *world) status(path string) (int, string) {
	w.t.Helper()
	r, err := http.Get(w.http.URL + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	b := make([]byte, 1000)
	n, _ := r.Body.Read(b)
	return r.StatusCode, string(b[:n])
}

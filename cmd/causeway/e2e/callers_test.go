package e2e

import (
	"encoding/base64"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"causeway/sfu/signalling"

	"github.com/coder/websocket"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// caller is somebody in a call without a browser: signalling by hand, media by pion.
type caller struct {
	t      *testing.T
	server *causeway
	pc     *webrtc.PeerConnection
	join   signalling.JoinRequest
	joined chan struct{} // closed when media is connected
	url    string        // of the SFU
	jwt    string
	left   chan signalling.DisconnectReason // is sent why the SFU has put the caller out
	media  chan struct{}                    // is sent something for packets that come
	conn   *websocket.Conn
}

// newCaller is somebody who is not in the call yet.
func (c *causeway) newCaller(t *testing.T) *caller {
	t.Helper()
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	k := &caller{t: t, server: c, pc: pc, joined: make(chan struct{}), left: make(chan signalling.DisconnectReason, 1), media: make(chan struct{}, 1)}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { k.read(track) })
	k.join.ConnectionSettings = &signalling.ConnectionSettings{AutoSubscribe: true}
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			close(k.joined)
		}
	})
	for _, label := range []string{"_reliable", "_lossy"} {
		if _, err := pc.CreateDataChannel(label, nil); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// sends has the caller send sound or picture, packets that look like them, until the test ends.
func (k *caller) sends(source signalling.TrackSource) {
	k.t.Helper()
	kind, mime, cid := signalling.Video, webrtc.MimeTypeVP8, "picture"
	if source == signalling.Microphone {
		kind, mime, cid = signalling.Audio, webrtc.MimeTypeOpus, "sound"
	}
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, cid, "stream")
	if err == nil {
		_, err = k.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	}
	if err != nil {
		k.t.Fatal(err)
	}
	k.join.AddTrackRequests = append(k.join.AddTrackRequests, &signalling.AddTrackRequest{
		CID: cid, Type: kind, Source: source, Width: 640, Height: 360, Encryption: 1,
	})
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-k.t.Context().Done():
				return
			case <-tick.C:
			}
			p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: uint32(n) * 1800, Marker: true}}
			p.Payload = make([]byte, 80)
			if kind == signalling.Video {
				p.Payload = make([]byte, 1000)
				p.Payload[0], p.Payload[1], p.Payload[2], p.Payload[3] = 0x90, 0x80, 0x80|byte(n>>8)&0x7f, byte(n)
				if n%50 != 0 {
					p.Payload[4] = 1 // no key frame
				}
			}
			_ = track.WriteRTP(p)
		}
	}()
}

// gets has the caller receive a kind of media.
func (k *caller) gets(kind webrtc.RTPCodecType) {
	k.t.Helper()
	if _, err := k.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		k.t.Fatal(err)
	}
}

// read reads what comes, as long as it does.
func (k *caller) read(track *webrtc.TrackRemote) {
	for {
		if _, _, err := track.ReadRTP(); err != nil {
			return
		}
		select {
		case k.media <- struct{}{}:
		default:
		}
	}
}

// awaitMedia waits for some packets that come from now on.
func (k *caller) awaitMedia() {
	k.t.Helper()
	end := time.After(30 * time.Second)
	for range 5 {
		select {
		case <-k.media:
		case <-end:
			k.t.Fatal("no media comes")
		}
	}
}

// enter comes into the call of a room, and returns when media is connected.
func (k *caller) enter(token, room string) {
	k.t.Helper()
	var access struct{ JWT, URL string }
	k.server.do(k.t, "POST", "/_matrix/client/v1/rtc/livekit/get_token", token, map[string]any{
		"room_id": room, "slot_id": "m.call#ROOM", "member": map[string]string{"id": "member"},
	}).decode(k.t, &access)
	k.url, k.jwt = access.URL, access.JWT
	offer, err := k.pc.CreateOffer(nil)
	if err != nil {
		k.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(k.pc)
	if err := k.pc.SetLocalDescription(offer); err != nil {
		k.t.Fatal(err)
	}
	<-gathered
	k.join.PublisherOffer = &signalling.SessionDescription{Type: "offer", SDP: k.pc.LocalDescription().SDP, ID: 1}
	wrapped := signalling.Marshal(&signalling.WrappedJoinRequest{JoinRequest: signalling.Marshal(&k.join)})
	q := url.Values{"access_token": {access.JWT}, "join_request": {base64.URLEncoding.EncodeToString(wrapped)}}
	conn, _, err := websocket.Dial(k.t.Context(), strings.TrimRight(access.URL, "/")+"/rtc/v1?"+q.Encode(), nil)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	k.conn = conn
	go k.listen(conn)
	select {
	case <-k.joined:
	case <-time.After(30 * time.Second):
		k.t.Fatal("media is not connected")
	}
}

// listen takes the answer, and keeps signalling alive.
func (k *caller) listen(conn *websocket.Conn) {
	go func() {
		ping := time.NewTicker(5 * time.Second)
		defer ping.Stop()
		for {
			select {
			case <-k.t.Context().Done():
				return
			case at := <-ping.C:
				m := &signalling.SignalRequest{PingReq: &signalling.Ping{Timestamp: at.UnixMilli()}}
				if conn.Write(k.t.Context(), websocket.MessageBinary, signalling.Marshal(m)) != nil {
					return
				}
			}
		}
	}()
	for {
		_, raw, err := conn.Read(k.t.Context())
		if err != nil {
			return
		}
		m := new(signalling.SignalResponse)
		if err := signalling.Unmarshal(raw, m); err == nil && m.Leave != nil {
			k.left <- m.Leave.Reason
		}
		if m.Answer != nil {
			_ = k.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: m.Answer.SDP})
		}
	}
}

package sfu

import (
	"encoding/binary"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// ufragOf gives the ICE username fragment of a description.
func ufragOf(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	ufrag, _, _ := strings.Cut(rest, "\r\n")
	return ufrag
}

// lastUfrag gives the ICE username fragment that the server has told last.
func (c *client) lastUfrag() (ufrag string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.got {
		if m.Answer != nil {
			ufrag = ufragOf(m.Answer.SDP)
		}
		if m.Offer != nil {
			ufrag = ufragOf(m.Offer.SDP)
		}
	}
	return ufrag
}

// portOf gives the client's port by which media goes, or 0 while there is none.
func portOf(pc *webrtc.PeerConnection) uint16 {
	for _, t := range pc.GetTransceivers() {
		if r := t.Receiver(); r != nil {
			if pair, err := r.Transport().ICETransport().GetSelectedCandidatePair(); err == nil && pair != nil {
				return pair.Local.Port
			}
		}
	}
	return 0
}

// restart makes an offer by which the client begins ICE anew (v1).
func (c *client) restart() {
	c.t.Helper()
	c.mu.Lock()
	c.busy = true
	c.offerID++
	id := c.offerID
	c.mu.Unlock()
	offer, err := c.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		c.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(offer); err != nil {
		c.t.Fatal(err)
	}
	<-gathered
	c.send(&signalling.SignalRequest{Offer: &signalling.SessionDescription{Type: "offer", SDP: c.pc.LocalDescription().SDP, ID: id}})
}

// TestRestart has ICE begin anew, as after a change of networks: the server answers by a new username fragment, or offers one where the offers are its own
// (v0), and what is sent from then on comes to another address of the client.
func TestRestart(t *testing.T) {
	for name, v1 := range map[string]bool{"v1": true, "v0": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice := w.join("room", "alice", everything)
			voice := alice.announce("voice", signalling.Microphone)
			var sent atomic.Uint32
			go func() {
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for n := uint32(0); ; n++ {
					select {
					case <-t.Context().Done():
						return
					case <-tick.C:
					}
					p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: n * 960}}
					p.Payload = binary.BigEndian.AppendUint32(nil, n)
					_ = voice.track.WriteRTP(p)
					sent.Store(n)
				}
			}()
			bob := w.client(token(t, "room", "bob", everything), "bob", v1)
			bob.connect(nil)
			track := bob.awaitTrack()
			bob.awaitPackets(track, 5)
			pc := bob.sub
			if v1 {
				pc = bob.pc
			}
			port, ufrag := portOf(pc), bob.lastUfrag()
			if port == 0 || ufrag == "" {
				t.Fatalf("media comes to port %d, by %q", port, ufrag)
			}
			if v1 {
				bob.restart()
			} else {
				_ = bob.conn.CloseNow()
				bob.awaitEnd()
				bob.dial(&signalling.JoinRequest{Reconnect: true, ParticipantSID: bob.sid})
			}
			bob.await("for another fragment", func(m *signalling.SignalResponse) bool {
				d := m.Answer
				if d == nil {
					d = m.Offer
				}
				return d != nil && ufragOf(d.SDP) != ufrag
			})
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for end := time.Now().Add(within); portOf(pc) == port || portOf(pc) == 0; <-tick.C {
				if time.Now().After(end) {
					t.Fatalf("media still comes to port %d", portOf(pc))
				}
			}
			from := sent.Load()
			for n := uint32(0); n <= from+5; {
				n = binary.BigEndian.Uint32(bob.awaitPackets(track, 1)[0].Payload)
			}
		})
	}
}

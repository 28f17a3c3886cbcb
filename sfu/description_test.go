package sfu

import (
	"reflect"
	"testing"

	"causeway/sfu/signalling"

	"github.com/pion/dtls/v3"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// described gives the descriptions that a client has got: those that answer its own, and those that it has to answer.
func (c *client) described() (answers, offers []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.got {
		if m.Answer != nil {
			answers = append(answers, m.Answer.SDP)
		}
		if m.Offer != nil {
			offers = append(offers, m.Offer.SDP)
		}
	}
	return answers, offers
}

// connections gives a participant's peer connections as the server has them.
func (c *client) connections(room string) map[string]*webrtc.PeerConnection {
	c.t.Helper()
	p := c.w.server.room(room).byIdentity(c.identity)
	found := make(chan map[string]*webrtc.PeerConnection, 1)
	if !p.post(func() {
		found <- map[string]*webrtc.PeerConnection{"publisher": p.publisher.pc, "subscriber": p.subscriber.pc}
	}) {
		c.t.Fatalf("%s is gone", c.identity)
	}
	return <-found
}

// cipher gives how media is encrypted on a connection that is there. pion tells nobody.
func cipher(pc *webrtc.PeerConnection) dtls.SRTPProtectionProfile {
	return dtls.SRTPProtectionProfile(reflect.ValueOf(pc.SCTP().Transport()).Elem().FieldByName("srtpProtectionProfile").Uint())
}

// TestDescriptionsOfOurs has our descriptions say that we are ICE-lite and the server of DTLS, in all media sections, and each connection be so, with
// media encrypted by AES-GCM. Where we offer, the other side chooses who is the server (RFC 8842, section 5.2): browsers leave it to us.
func TestDescriptionsOfOurs(t *testing.T) {
	for name, v1 := range map[string]bool{"v1": true, "v0": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var people []*client
			for _, identity := range []string{"alice", "bob"} {
				c := w.client(token(t, "room", identity, everything), identity, v1)
				c.connect(nil)
				people = append(people, c)
			}
			for _, c := range people {
				c.publish("camera", signalling.Camera)
			}
			for _, c := range people {
				c.awaitPackets(c.awaitTrack(), 5)
			}
			for _, c := range people {
				answers, offers := c.described()
				if len(answers) == 0 || (len(offers) > 0) == v1 {
					t.Errorf("%s has got %d answers and %d offers", c.identity, len(answers), len(offers))
				}
				for _, text := range answers {
					checkDescription(t, c.identity+"'s answer", text, sdp.ConnectionRolePassive.String())
				}
				for _, text := range offers {
					checkDescription(t, c.identity+"'s offer", text, sdp.ConnectionRoleActpass.String())
				}
				for which, pc := range c.connections("room") {
					if got := cipher(pc); got != dtls.SRTP_AEAD_AES_128_GCM && got != dtls.SRTP_AEAD_AES_256_GCM {
						t.Errorf("media of %s's %s is encrypted by %v", c.identity, which, got)
					}
					if got := pc.SCTP().Transport().ICETransport().Role(); got != webrtc.ICERoleControlled {
						t.Errorf("in %s's %s we are %v", c.identity, which, got)
					}
				}
			}
		})
	}
}

// checkDescription looks whether a description is of ICE-lite, and who is to be the client of DTLS in each media section.
func checkDescription(t *testing.T, what, text, setup string) {
	t.Helper()
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if _, lite := d.Attribute(sdp.AttrKeyICELite); !lite || len(d.MediaDescriptions) == 0 {
		t.Errorf("%s is of ICE-lite: %t, with %d media sections", what, lite, len(d.MediaDescriptions))
	}
	for i, m := range d.MediaDescriptions {
		if got, _ := m.Attribute(sdp.AttrKeyConnectionSetup); got != setup {
			t.Errorf("section %d of %s has the setup %q, want %q", i, what, got, setup)
		}
	}
}

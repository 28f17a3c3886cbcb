package sfu

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// gatherWithin is how long addresses of this machine are gathered. They are those of sockets that are open.
const gatherWithin = 2 * time.Second

// peer is a peer connection of a participant, with what goes on in it. Its fields belong to the participant's goroutine, but for
// those that are atomic.
type peer struct {
	p      *Participant
	target signalling.SignalTarget
	pc     *webrtc.PeerConnection
	state  atomic.Int32 // webrtc.PeerConnectionState
	out    transport
	in     unread
	came   arrivals
	later  later

	// v0: offers that we make.
	offering   bool                              // one is out
	offerAgain bool                              // another one is due
	offerID    uint32                            // of the last
	answeredID uint32                            // of the last that was answered
	freed      map[*webrtc.RTPTransceiver]uint32 // media sections in which nothing is sent any more, and the offer that says so
	candidates []webrtc.ICECandidateInit
	named      map[string]bool // the client's addresses
}

// connect makes one of the participant's peer connections.
func (p *Participant) connect(target signalling.SignalTarget) (*peer, error) {
	c := &peer{p: p, target: target, freed: map[*webrtc.RTPTransceiver]uint32{}, named: map[string]bool{}}
	c.in.tooMany = func() { p.Leave(signalling.StateMismatch) }
	pc, err := p.server.engine.connect(&c.out, &c.in, &c.came, c.reached)
	if err != nil {
		return nil, err
	}
	c.pc = pc
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		c.state.Store(int32(s))
		p.post(func() { p.connectionChanged(c, s) })
	})
	pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) { p.post(func() { p.onTrack(c, t, r) }) })
	pc.OnDataChannel(func(d *webrtc.DataChannel) { p.data.take(p, d) })
	return c, nil
}

func (c *peer) connected() bool {
	return c != nil && webrtc.PeerConnectionState(c.state.Load()) == webrtc.PeerConnectionStateConnected
}

func (c *peer) close() {
	if c != nil {
		c.later.held.Store(false)
		_ = c.pc.Close()
	}
}

// connectionChanged is called when a connection has come about, or has broken.
func (p *Participant) connectionChanged(c *peer, s webrtc.PeerConnectionState) {
	ready := s == webrtc.PeerConnectionStateConnected
	p.up.Store(p.alive())
	if c == p.subscriber {
		for _, sub := range p.subscriptions {
			if sub.down != nil {
				sub.down.Ready(ready)
			}
		}
	}
	if ready && p.info.Load().State != signalling.Active {
		p.change(func(i *signalling.ParticipantInfo) { i.State = signalling.Active })
	}
}

// answer answers an offer of the client, which has been inspected. between is done when it has been read, and before it is answered.
func (c *peer) answer(offer *signalling.SessionDescription, between func()) (string, error) {
	err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer.SDP})
	if err != nil {
		return "", fmt.Errorf("read the offer: %w", err)
	}
	c.flushCandidates()
	if between != nil {
		between()
	}
	answer, err := c.pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("make an answer: %w", err)
	}
	return c.settle(answer)
}

// settle takes a description of ours, and gives it with the addresses by which this machine is reached.
func (c *peer) settle(d webrtc.SessionDescription) (string, error) {
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(d); err != nil {
		return "", fmt.Errorf("take our description: %w", err)
	}
	select {
	case <-gathered:
	case <-time.After(gatherWithin):
		return "", fmt.Errorf("gather addresses: none within %s", gatherWithin)
	}
	description := c.pc.LocalDescription().SDP
	if public := c.p.server.cfg.PublicIPs; public != nil {
		description = withPublic(description, public())
	}
	return c.hold(description), nil
}

// trackIDs gives, by media section, the ID of the track that we send in it.
func (c *peer) trackIDs() map[string]string {
	ids := map[string]string{}
	for _, t := range c.pc.GetTransceivers() {
		if s := t.Sender(); s != nil && s.Track() != nil && t.Mid() != "" {
			ids[t.Mid()] = s.Track().ID()
		}
	}
	return ids
}

// trickle takes an address of the client.
func (c *peer) trickle(t *signalling.TrickleRequest) {
	if t.CandidateInit == "" {
		return
	}
	var candidate webrtc.ICECandidateInit
	if err := json.Unmarshal([]byte(t.CandidateInit), &candidate); err != nil {
		c.p.log.Debug().Err(err).Msg("A candidate cannot be read")
		return
	}
	news, err := c.know(candidate.Candidate)
	if err != nil {
		c.p.log.Warn().Err(err).Msg("A candidate is one too many")
		c.p.leave(signalling.MediaFailure)
		return
	}
	if c.pc.RemoteDescription() == nil {
		if news {
			c.candidates = append(c.candidates, candidate)
		}
		return
	}
	_ = c.pc.AddICECandidate(candidate)
}

func (c *peer) flushCandidates() {
	for _, candidate := range c.candidates {
		_ = c.pc.AddICECandidate(candidate)
	}
	c.candidates = nil
}

// offer makes an offer (v0), or does it when the one that is out has been answered.
func (c *peer) offer(restart bool) {
	if c.offering {
		c.offerAgain = true
		return
	}
	offer, err := c.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: restart})
	var text string
	if err == nil {
		text, err = c.settle(offer)
	}
	if err != nil {
		c.p.log.Warn().Err(err).Msg("An offer cannot be made")
		c.p.leave(signalling.MediaFailure)
		return
	}
	c.offering = true
	c.offerID++
	c.p.send(&signalling.SignalResponse{Offer: &signalling.SessionDescription{
		Type: "offer", SDP: text, ID: c.offerID, MIDToTrackID: c.trackIDs(),
	}})
}

// awaits is whether an answer is one to the offer that is out.
func (c *peer) awaits(a *signalling.SessionDescription) bool {
	return c.offering && (a.ID == 0 || a.ID == c.offerID)
}

// unreadable puts the participant out, whose answer makes no sense.
func (c *peer) unreadable(err error) {
	c.p.log.Warn().Err(err).Msg("An answer cannot be read")
	c.p.leave(signalling.MediaFailure)
}

// midOf gives the media section in which something is sent, "" where there is none.
func (c *peer) midOf(sender *webrtc.RTPSender) string {
	for _, t := range c.pc.GetTransceivers() {
		if sender != nil && t.Sender() == sender {
			return t.Mid()
		}
	}
	return ""
}

// answered takes the client's answer to the offer that is out, which has been inspected.
func (c *peer) answered(a *signalling.SessionDescription) {
	c.offering, c.answeredID = false, c.offerID
	err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: a.SDP})
	if err != nil {
		c.unreadable(err)
		return
	}
	c.flushCandidates()
	if c.offerAgain {
		c.offerAgain = false
		c.offer(false)
	}
}

// sections reads which media sections of an offer send a track, by mid: the track's ID and that of its stream. Browsers go on to name those of a
// section in which they send no more.
func sections(offer *sdp.SessionDescription) map[string][2]string {
	found := map[string][2]string{}
	for _, m := range offer.MediaDescriptions {
		mid, _ := m.Attribute(sdp.AttrKeyMID)
		msid, ok := m.Attribute(sdp.AttrKeyMsid)
		_, inactive := m.Attribute(sdp.AttrKeyInactive)
		_, receives := m.Attribute(sdp.AttrKeyRecvOnly)
		if !ok || mid == "" || inactive || receives {
			continue
		}
		var stream, id string
		if _, err := fmt.Sscan(msid, &stream, &id); err != nil {
			continue
		}
		found[mid] = [2]string{id, stream}
	}
	return found
}

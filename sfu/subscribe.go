package sfu

import (
	"cmp"
	"maps"
	"slices"

	"causeway/sfu/signalling"
	"causeway/sfu/track"

	"github.com/pion/webrtc/v4"
)

// subscription is a track that a participant gets, or is to get. It belongs to the subscriber's goroutine.
type subscription struct {
	p      *Participant
	pub    *publication
	down   *track.Down
	sender *webrtc.RTPSender

	settings signalling.UpdateTrackSettings
	paused   bool        // by us, for want of bandwidth
	refused  []*track.Up // what the client was found not to take
	lacks    bool        // the client takes no codec of the track, and was told so, or another one is asked for
}

// wants is whether the participant is to get a track.
func (p *Participant) wants(pub *publication) bool {
	if pub.owner == p || !p.may.Load().Subscribe || !pub.owner.allows(p, pub.sid) {
		return false
	}
	if want, ok := p.wishes[pub.sid]; ok {
		return want
	}
	return p.settings.AutoSubscribe
}

// reconcile compares what the participant gets with what there is, and what it wants.
func (p *Participant) reconcile() {
	if p.subscriber == nil {
		return
	}
	there := p.room.published()
	changed := false
	for sid, s := range p.subscriptions {
		if !slices.Contains(there, s.pub) || !p.wants(s.pub) {
			s.close()
			delete(p.subscriptions, sid)
			changed = true
		}
	}
	for _, pub := range there {
		if p.subscriptions[pub.sid] == nil && p.wants(pub) && len(pub.allUps()) > 0 {
			p.subscriptions[pub.sid] = &subscription{p: p, pub: pub, settings: signalling.UpdateTrackSettings{Quality: signalling.High}}
		}
	}
	if changed || p.lacks() {
		p.negotiate()
	}
	p.tellLacking()
}

// negotiate has the client hear of what it gets.
func (p *Participant) negotiate() {
	if p.v1 {
		p.require()
		return
	}
	p.attach()
	p.subscriber.offer(false)
}

// lacks is whether there is something to get that has no media section yet.
func (p *Participant) lacks() bool {
	for _, s := range p.subscriptions {
		if s.attachable() {
			return true
		}
	}
	return false
}

// attachable is whether the track can be had, and has no media section yet.
func (s *subscription) attachable() bool { return s.down == nil && s.up() != nil }

// tellLacking tells the client of the tracks of which it takes no codec.
func (p *Participant) tellLacking() {
	for _, s := range p.subscriptions {
		if s.down == nil && s.up() == nil && !s.lacks {
			s.lack()
		}
	}
}

// lack tells the client that it takes no codec of the track, unless one that it does was announced: the publisher hears then that that is wanted. The
// track is attached when a codec comes that the client takes.
func (s *subscription) lack() {
	s.lacks = true
	if s.codec() != "" {
		s.want()
		return
	}
	s.p.send(&signalling.SignalResponse{SubscriptionResponse: &signalling.SubscriptionResponse{
		TrackSID: s.pub.sid, Err: signalling.SubscriptionCodecUnsupported,
	}})
}

// require asks the client for another offer, with as many media sections as are missing (v1).
func (p *Participant) require() {
	if p.required || p.subscriber.pc.RemoteDescription() == nil {
		return
	}
	p.required = true
	var m signalling.MediaSectionsRequirement
	audios, videos := p.free()
	for _, s := range p.subscriptions {
		if !s.attachable() {
			continue
		}
		if s.pub.info.Load().Type == signalling.Audio {
			if audios--; audios < 0 {
				m.NumAudios++
			}
		} else if videos--; videos < 0 {
			m.NumVideos++
		}
	}
	p.send(&signalling.SignalResponse{MediaSectionsRequirement: &m})
}

// free counts the media sections in which the client would receive, and we send nothing, and have said so: only then does the peer connection take them
// for another track.
func (p *Participant) free() (audios, videos int) {
	for _, t := range p.subscriber.pc.GetTransceivers() {
		if _, unsaid := p.subscriber.freed[t]; unsaid || t.Sender() != nil || t.Mid() == "" || !receives(t) {
			continue
		}
		if t.Kind() == webrtc.RTPCodecTypeAudio {
			audios++
		} else {
			videos++
		}
	}
	return audios, videos
}

// receives is whether the client made a media section to receive in it.
func receives(t *webrtc.RTPTransceiver) bool {
	d := t.Direction()
	return d == webrtc.RTPTransceiverDirectionSendonly || d == webrtc.RTPTransceiverDirectionInactive
}

// attach gives the tracks that the participant is to get media sections: in v1 those that the client has offered.
func (p *Participant) attach() {
	audios, videos := p.free()
	for _, s := range p.inOrder() {
		if !s.attachable() {
			continue
		}
		if p.v1 {
			left := &videos
			if s.pub.info.Load().Type == signalling.Audio {
				left = &audios
			}
			if *left <= 0 {
				continue
			}
			*left--
		}
		s.attach()
	}
}

// inOrder gives the subscriptions, those that are oldest first.
func (p *Participant) inOrder() []*subscription {
	return slices.SortedFunc(maps.Values(p.subscriptions), func(a, b *subscription) int { return cmp.Compare(a.pub.number, b.pub.number) })
}

// attach begins to send the track. The client must know whose it is before it hears of the media section.
func (s *subscription) attach() {
	up := s.up()
	if up == nil {
		return
	}
	s.p.tell(s.pub.owner.info.Load())
	c := s.p.subscriber
	d := track.NewDown(up, track.DownOptions{
		ID: s.pub.sid, StreamID: s.pub.owner.sid + "|" + s.pub.sid, Transport: &c.out,
		Bound: func(d *track.Down, taken bool) { s.p.post(func() { s.bound(d, taken) }) },
	})
	var sender *webrtc.RTPSender
	var err error
	if s.p.v1 {
		sender, err = c.pc.AddTrack(d)
	} else {
		sender, err = c.send(d)
	}
	if err != nil {
		s.p.log.Warn().Err(err).Msg("A track cannot be sent")
		return
	}
	s.down, s.sender = d, sender
	s.p.server.tally.down(d)
	d.Ready(c.connected())
	go s.p.contain(func() { s.listen(d, sender) })
}

// send adds a track to what we offer (v0), in a media section that is free, or a new one.
func (c *peer) send(d *track.Down) (*webrtc.RTPSender, error) {
	for _, t := range c.pc.GetTransceivers() {
		// The client must have heard that a section is free, or it would take the track for the one before. Clients made with pion
		// take nothing in a section that was free once, so that new ones are made as long as there are not many.
		if free, ok := c.freed[t]; ok && len(c.freed) > maxFreed && t.Kind() == d.Kind() && t.Sender() == nil && int32(c.answeredID-free) >= 0 {
			delete(c.freed, t)
			return c.pc.AddTrack(d)
		}
	}
	if len(c.pc.GetTransceivers()) >= maxSections {
		return nil, errSections
	}
	t, err := c.pc.AddTransceiverFromTrack(d, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return nil, err
	}
	return t.Sender(), nil
}

// maxFreed is how many media sections may be free until they are used again.
const maxFreed = 16

// free ends what is sent in a media section. It is used again when the next offer has been answered.
func (c *peer) free(sender *webrtc.RTPSender) {
	for _, t := range c.pc.GetTransceivers() {
		if t.Sender() == sender {
			c.freed[t] = c.offerID + 1
		}
	}
	_ = c.pc.RemoveTrack(sender)
}

// bound is called when what is sent has been negotiated: from now on packets are handed on, if the client takes them.
func (s *subscription) bound(d *track.Down, taken bool) {
	if s.down != d {
		return
	}
	if !taken {
		s.refused = append(s.refused, d.Up())
		s.detach()
		s.p.negotiate()
		s.p.tellLacking()
		return
	}
	d.Up().Subscribe(d)
	s.p.allocate()
	s.pub.someone.Store(true)
	s.want()
}

// want has the publisher know up to which layer of which codec the subscriber wants the track.
func (s *subscription) want() {
	if name := codecName(s.codec()); name != "" {
		s.p.qualities.set(s.pub.sid, quality{name, s.quality()})
	} else {
		s.p.qualities.drop(s.pub.sid)
	}
	s.pub.wantedAnew()
}

// wantedAnew has the publisher look again who wants which layers of the track. It may be called from anywhere, as often as others like: the
// publisher looks once for all of it.
func (pub *publication) wantedAnew() {
	if pub.looking.Swap(true) {
		return
	}
	pub.owner.post(func() {
		pub.looking.Store(false)
		if pub.someone.Load() {
			pub.owner.heardBy(pub)
		}
		pub.owner.layersWanted(pub)
	})
}

// heardBy tells the publisher that somebody gets a track, the first time.
func (p *Participant) heardBy(pub *publication) {
	if pub.heard || p.mine[pub.sid] != pub {
		return
	}
	pub.heard = true
	p.send(&signalling.SignalResponse{TrackSubscribed: &signalling.TrackSubscribed{TrackSID: pub.sid}})
}

// listen takes what the subscriber says of the track.
func (s *subscription) listen(d *track.Down, sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		d.HandleRTCP(packets)
	}
}

func (s *subscription) close() {
	s.detach()
	s.p.qualities.drop(s.pub.sid)
	s.pub.wantedAnew()
}

// detach ends what is sent of the track.
func (s *subscription) detach() {
	if s.down == nil {
		return
	}
	s.p.server.tally.downEnded(s.down)
	s.down.Close()
	if s.sender != nil {
		s.p.subscriber.free(s.sender)
	}
	s.down, s.sender = nil, nil
}

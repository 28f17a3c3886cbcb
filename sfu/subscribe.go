package sfu

import (
	"cmp"
	"maps"
	"slices"

	"causeway/sfu/codec"
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
	paused   bool // by us, for want of bandwidth
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
			changed = true
		}
	}
	if !changed && !p.lacks() {
		return
	}
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
		if s.down == nil {
			return true
		}
	}
	return false
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
		if s.down != nil {
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

// free counts the media sections in which the client would receive, and we send nothing.
func (p *Participant) free() (audios, videos int) {
	for _, t := range p.subscriber.pc.GetTransceivers() {
		if t.Sender() != nil || t.Mid() == "" || !receives(t) {
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
		if s.down != nil {
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
	ups := s.pub.allUps()
	if len(ups) == 0 {
		return
	}
	s.p.tell(s.pub.owner.info.Load())
	c := s.p.subscriber
	d := track.NewDown(ups[0], track.DownOptions{
		ID: s.pub.sid, StreamID: s.pub.owner.sid + "|" + s.pub.sid, Transport: &c.out,
		Bound: func(*track.Down) { s.p.post(s.bound) },
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
	t, err := c.pc.AddTransceiverFromTrack(d, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return nil, err
	}
	return t.Sender(), nil
}

// maxFreed is how many media sections may be free until they are used again.
const maxFreed = 16

// free ends what is sent in a media section. It is used again when the next offer has been answered (v0).
func (c *peer) free(sender *webrtc.RTPSender) {
	for _, t := range c.pc.GetTransceivers() {
		if t.Sender() == sender {
			c.freed[t] = c.offerID + 1
		}
	}
	_ = c.pc.RemoveTrack(sender)
}

// bound is called when what is sent has been negotiated: from now on packets are handed on.
func (s *subscription) bound() {
	if s.down == nil {
		return
	}
	s.down.Up().Subscribe(s.down)
	s.p.allocate()
	s.p.qualities.set(s.pub.sid, s.quality())
	s.pub.someone.Store(true)
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
	if s.down == nil {
		return
	}
	s.p.server.tally.downEnded(s.down)
	s.down.Close()
	if s.sender != nil {
		s.p.subscriber.free(s.sender)
	}
	s.down, s.sender = nil, nil
	s.p.qualities.drop(s.pub.sid)
	s.pub.wantedAnew()
}

// quality is up to which layer the subscriber wants the track, or -1.
func (s *subscription) quality() int {
	if s.settings.Disabled || s.settings.Quality == signalling.Off {
		return -1
	}
	info := s.pub.info.Load()
	if s.settings.Width > 0 || s.settings.Height > 0 {
		return layerForSize(info, s.settings.Width, s.settings.Height)
	}
	return min(int(s.settings.Quality), codec.MaxSpatial-1)
}

// layerForSize gives the smallest layer that fills a size in pixels.
func layerForSize(info *signalling.TrackInfo, width, height uint32) int {
	for i, l := range info.Layers {
		if l.Width >= width && l.Height >= height {
			return min(i, codec.MaxSpatial-1)
		}
	}
	return max(0, min(len(info.Layers), codec.MaxSpatial)-1)
}

// layersWanted tells the publisher which layers of a track somebody wants (dynacast).
func (p *Participant) layersWanted(pub *publication) {
	info := pub.info.Load()
	if p.mine[pub.sid] != pub || info.Type != signalling.Video {
		return
	}
	highest := -1
	for _, other := range p.room.everybody() {
		if other == p {
			continue
		}
		if q, ok := other.qualities.of(pub.sid); ok {
			highest = max(highest, q)
		}
	}
	update := &signalling.SubscribedQualityUpdate{TrackSID: pub.sid}
	for q := signalling.Low; q <= signalling.High; q++ {
		update.SubscribedQualities = append(update.SubscribedQualities, signalling.SubscribedQuality{Quality: q, Enabled: int(q) <= highest})
	}
	for _, c := range info.Codecs {
		update.SubscribedCodecs = append(update.SubscribedCodecs, signalling.SubscribedCodec{
			Codec: codecName(c.MIMEType), Qualities: update.SubscribedQualities,
		})
	}
	key := string(signalling.Marshal(update))
	if key == pub.wanted {
		return
	}
	pub.wanted = key
	p.send(&signalling.SignalResponse{SubscribedQualityUpdate: update})
}

// updateSubscription takes which tracks the client wants, or does not.
func (p *Participant) updateSubscription(u *signalling.UpdateSubscription) {
	sids := slices.Clone(u.TrackSIDs)
	for _, t := range u.ParticipantTracks {
		sids = append(sids, t.TrackSIDs...)
	}
	for _, sid := range sids {
		p.wish(sid, u.Subscribe)
	}
	p.reconcile()
}

// wish takes whether the client wants a track, which there may not be yet. What is said of tracks that have ended goes for it.
func (p *Participant) wish(sid string, want bool) {
	if len(sid) > maxSID {
		return
	}
	if _, said := p.wishes[sid]; !said && len(p.wishes) >= maxWishes {
		there := map[string]bool{}
		for _, pub := range p.room.published() {
			there[pub.sid] = true
		}
		maps.DeleteFunc(p.wishes, func(sid string, _ bool) bool { return !there[sid] })
		if len(p.wishes) >= maxWishes {
			return
		}
	}
	p.wishes[sid] = want
}

const (
	// maxWishes is of how many tracks a client can say whether it wants them.
	maxWishes = 4096
	// maxSID is how long the identifiers may be that clients name, in bytes. Ours are shorter.
	maxSID = 64
)

// updateSettings takes how the client wants tracks.
func (p *Participant) updateSettings(u *signalling.UpdateTrackSettings) {
	settings := *u
	settings.TrackSIDs = nil
	settings.Quality = min(max(settings.Quality, signalling.Low), signalling.Off)
	changed := map[*subscription]bool{}
	for _, sid := range u.TrackSIDs {
		if s := p.subscriptions[sid]; s != nil {
			s.settings = settings
			changed[s] = true
		}
	}
	if len(changed) == 0 {
		return
	}
	p.allocate()
	for s := range changed {
		p.qualities.set(s.pub.sid, s.quality())
		s.pub.wantedAnew()
	}
}

package sfu

import (
	"fmt"
	"time"

	"causeway/sfu/signalling"
)

// begin lets a participant in: it is told who is there, and others of it.
func (p *Participant) begin(join *signalling.JoinRequest) {
	if err := p.connectMedia(); err != nil {
		p.log.Error().Err(err).Msg("A call cannot be joined")
		p.leave(signalling.JoinFailure)
		return
	}
	info := *p.info.Load()
	info.State = signalling.Joined
	info.Version++
	p.info.Store(&info)
	others := p.room.others(p)
	p.told[info.SID] = info.Version
	for _, o := range others {
		p.told[o.SID] = o.Version
	}
	p.send(&signalling.SignalResponse{Join: &signalling.Join{
		Room: p.room.describe(), Participant: &info, OtherParticipants: others, ServerVersion: Version, ServerInfo: p.serverInfo(),
		ICEServers: p.iceServers(), SubscriberPrimary: !p.v1,
		PingInterval: int32(pingInterval / time.Second), PingTimeout: int32(pingTimeout / time.Second),
		EnabledPublishCodecs: enabledCodecs, ClientConfiguration: &signalling.ClientConfiguration{ResumeConnection: signalling.Enabled},
	}})
	p.refresh(time.Now(), true)
	p.room.changed(p)
	for _, a := range join.AddTrackRequests {
		p.addTrack(a)
	}
	if p.v1 {
		if join.PublisherOffer != nil {
			p.offered(join.PublisherOffer)
		}
		p.reconcile()
		return
	}
	p.reconcile()
	p.subscriber.offer(false)
}

// connectMedia makes the participant's peer connections.
func (p *Participant) connectMedia() (err error) {
	if p.publisher, err = p.connect(signalling.Publisher); err != nil {
		return err
	}
	if p.v1 {
		p.subscriber = p.publisher
		p.out.Store(&p.subscriber.out)
		return nil
	}
	if p.subscriber, err = p.connect(signalling.Subscriber); err != nil {
		return err
	}
	p.out.Store(&p.subscriber.out)
	return p.data.open(p, p.subscriber.pc)
}

func (p *Participant) serverInfo() *signalling.ServerInfo {
	return &signalling.ServerInfo{Version: Version, Protocol: protocol, NodeID: "causeway"}
}

func (p *Participant) iceServers() []signalling.ICEServer {
	if p.server.cfg.ICEServers == nil {
		return nil
	}
	return p.server.cfg.ICEServers(p.room.name, p.identity)
}

// resume goes on with a participant whose signalling had ended.
func (p *Participant) resume(s *session, join *signalling.JoinRequest) {
	if p.session != nil {
		p.session.finish()
	}
	p.session = s
	p.required = false
	p.send(&signalling.SignalResponse{Reconnect: &signalling.ReconnectResponse{
		ICEServers: p.iceServers(), ServerInfo: p.serverInfo(), LastMessageSeq: p.data.lastSequence(),
	}})
	p.send(&signalling.SignalResponse{RoomUpdate: &signalling.RoomUpdate{Room: p.room.describe()}})
	p.refresh(time.Now(), true)
	missed := p.room.missed(p.told)
	clear(p.told)
	p.score.told = nil
	p.tell(append(append(missed, p.room.others(p)...), p.info.Load())...)
	if join.SyncState != nil {
		p.sync(join.SyncState)
	}
	if p.v1 {
		if join.PublisherOffer != nil {
			p.offered(join.PublisherOffer)
		}
		p.reconcile()
		return
	}
	p.subscriber.offering = false // an answer that was under way is lost
	p.reconcile()
	p.subscriber.offer(p.subscriber.pc.RemoteDescription() != nil)
}

// sync compares what the client had with what there is.
func (p *Participant) sync(s *signalling.SyncState) {
	if s.Subscription != nil {
		p.updateSubscription(s.Subscription)
	}
	p.changeSettings(s.TrackSIDsDisabled, func(settings *signalling.UpdateTrackSettings) { settings.Disabled = true })
	for _, t := range s.PublishTracks[:min(len(s.PublishTracks), p.server.cfg.Limits.Tracks)] {
		if t.Track != nil && p.mine[t.Track.SID] == nil {
			p.send(&signalling.SignalResponse{TrackUnpublished: &signalling.TrackUnpublished{TrackSID: t.Track.SID}})
		}
	}
	p.data.resend(p, s.DataChannelReceiveStates)
}

// offered answers an offer of the client: of its publishing connection, or of the only one.
func (p *Participant) offered(o *signalling.SessionDescription) {
	d, err := p.publisher.inspect(o.SDP)
	if err != nil {
		p.unanswerable(fmt.Errorf("read the offer: %w", err))
		return
	}
	p.locate(d)
	p.dropped(d)
	if p.v1 {
		p.takes.learn(d)
	}
	p.required = false
	answer, err := p.publisher.answer(o, func() {
		p.prefer()
		if p.v1 {
			p.reconcileQuietly()
		}
	})
	if err != nil {
		p.unanswerable(err)
		return
	}
	p.send(&signalling.SignalResponse{Answer: &signalling.SessionDescription{
		Type: "answer", SDP: answer, ID: o.ID, MIDToTrackID: p.publisher.trackIDs(),
	}})
	if p.v1 {
		clear(p.publisher.freed) // the answer says so
		if p.lacks() {
			p.require()
		}
	}
}

// unanswerable puts the participant out, whose offer makes no sense.
func (p *Participant) unanswerable(err error) {
	p.log.Warn().Err(err).Msg("An offer cannot be answered")
	p.leave(signalling.MediaFailure)
}

// answered takes the client's answer to an offer of ours (v0). Tracks that it does not take are taken out first.
func (p *Participant) answered(a *signalling.SessionDescription) {
	c := p.subscriber
	if p.v1 || !c.awaits(a) {
		return
	}
	d, err := c.inspect(a.SDP)
	if err != nil {
		c.unreadable(err)
		return
	}
	p.takes.learn(d)
	var refused map[string]bool
	if ours := c.pc.PendingLocalDescription(); ours != nil {
		if offer, err := ours.Unmarshal(); err == nil {
			refused = refusedIn(offer, d)
		}
	}
	changed := false
	for _, s := range p.subscriptions {
		switch {
		case s.down == nil:
			continue
		case refused[c.midOf(s.sender)]:
			s.refused = append(s.refused, s.down.Up())
		case p.takes.up(s.down.Up()):
			continue
		}
		s.detach()
		changed = true
	}
	c.answered(a)
	if changed && !p.gone {
		p.negotiate()
		p.tellLacking()
	}
}

// reconcileQuietly attaches what there is to an offer that is about to be answered.
func (p *Participant) reconcileQuietly() {
	p.required = true // so that no other offer is asked for
	p.reconcile()
	p.required = false
	p.attach()
}

// handle does what the client asks for.
func (p *Participant) handle(s *session, m *signalling.SignalRequest) {
	if s != p.session {
		return // of a session that has been resumed by another
	}
	switch {
	case m.Offer != nil:
		p.offered(m.Offer)
	case m.Answer != nil:
		p.answered(m.Answer)
	case m.Trickle != nil:
		if m.Trickle.Target == signalling.Subscriber {
			p.subscriber.trickle(m.Trickle)
		} else {
			p.publisher.trickle(m.Trickle)
		}
	case m.AddTrack != nil:
		p.addTrack(m.AddTrack)
	case m.Mute != nil:
		p.mute(m.Mute)
	case m.Subscription != nil:
		p.updateSubscription(m.Subscription)
	case m.TrackSetting != nil:
		p.updateSettings(m.TrackSetting)
	case m.Leave != nil:
		p.leave(signalling.ClientInitiated)
	case m.SubscriptionPermission != nil:
		p.allow(m.SubscriptionPermission)
	case m.SyncState != nil:
		p.sync(m.SyncState)
	case m.UpdateMetadata != nil:
		p.updateMetadata(m.UpdateMetadata)
	case m.UpdateVideoTrack != nil:
		p.updateVideo(m.UpdateVideoTrack)
	case m.Simulate != nil:
		p.simulate(m.Simulate)
	default:
		p.handlePing(m)
	}
}

func (p *Participant) handlePing(m *signalling.SignalRequest) {
	at := time.Now().UnixMilli()
	if m.Ping != nil {
		p.send(&signalling.SignalResponse{Pong: &at})
	}
	if m.PingReq != nil {
		p.send(&signalling.SignalResponse{PongResp: &signalling.Pong{LastPingTimestamp: m.PingReq.Timestamp, Timestamp: at}})
	}
	for _, u := range []*signalling.Unsupported{m.PublishDataTrack, m.UnpublishDataTrack, m.StoreDataBlob, m.GetDataBlob} {
		if u != nil {
			p.send(&signalling.SignalResponse{RequestResponse: &signalling.RequestResponse{
				RequestID: u.RequestID, Reason: signalling.RequestUnsupportedType, Message: "This server has no data tracks",
			}})
		}
	}
}

// What participants may say of themselves, in bytes.
const (
	maxMetadata   = 64 << 10
	maxAttributes = 64 << 10
)

// updateMetadata changes what others are told of the participant.
func (p *Participant) updateMetadata(u *signalling.UpdateParticipantMetadata) {
	answer := &signalling.RequestResponse{RequestID: u.RequestID, UpdateMetadata: u}
	attributes := merge(p.info.Load().Attributes, u.Attributes)
	switch {
	case !p.may.Load().Metadata:
		answer.Reason, answer.Message = signalling.RequestNotAllowed, "You may not change your metadata"
	case len(u.Metadata) > maxMetadata || len(u.Name) > maxName || sizeOf(attributes) > maxAttributes:
		answer.Reason, answer.Message = signalling.RequestLimitExceeded, "The metadata is too long"
	default:
		p.change(func(i *signalling.ParticipantInfo) {
			if u.Metadata != "" {
				i.Metadata = u.Metadata
			}
			if u.Name != "" {
				i.Name = u.Name
			}
			i.Attributes = attributes
		})
	}
	if u.RequestID != 0 || answer.Reason != signalling.RequestOK {
		p.send(&signalling.SignalResponse{RequestResponse: answer})
	}
}

// sizeOf is how much attributes are, in bytes.
func sizeOf(attributes map[string]string) (size int) {
	for k, v := range attributes {
		size += len(k) + len(v)
	}
	return size
}

// merge gives attributes with changes to them: what is empty is removed.
func merge(attributes, changes map[string]string) map[string]string {
	merged := make(map[string]string, len(attributes)+len(changes))
	for k, v := range attributes {
		merged[k] = v
	}
	for k, v := range changes {
		if v == "" {
			delete(merged, k)
		} else {
			merged[k] = v
		}
	}
	return merged
}

// updateVideo takes the size of a video.
func (p *Participant) updateVideo(u *signalling.UpdateLocalVideoTrack) {
	if pub := p.mine[u.TrackSID]; pub != nil {
		pub.change(func(t *signalling.TrackInfo) { t.Width, t.Height = u.Width, u.Height })
		p.retrack()
	}
}

// simulate does what tests of clients ask for.
func (p *Participant) simulate(s *signalling.SimulateScenario) {
	switch {
	case s.LeaveRequestFullReconnect != nil, s.NodeFailure != nil:
		p.leave(signalling.StateMismatch)
	case s.ServerLeave != nil:
		p.leave(signalling.ServerShutdown)
	case s.SubscriberBandwidth != nil:
		p.limitBandwidth(*s.SubscriberBandwidth)
	}
}

// limitBandwidth bounds what the participant is sent, in bits per second; 0 for no bound.
func (p *Participant) limitBandwidth(bits int64) {
	p.share.limit = int(min(max(bits, 0), 1<<31))
}

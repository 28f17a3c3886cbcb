package sfu

import (
	"cmp"
	"slices"
	"time"

	"causeway/sfu/codec"
	"causeway/sfu/track"
)

// RoomStatus is a call that runs.
type RoomStatus struct {
	Name         string
	Created      time.Time
	Participants []ParticipantStatus // who has been there longest first
}

// ParticipantStatus is somebody in a call.
type ParticipantStatus struct {
	Identity, Name string
	Joined         time.Time
	Connected      bool // media
	Signalling     bool
	Estimate       int // how many bits per second can be sent there, as far as is known
	Published      []TrackStatus
	Subscribed     []SubscriptionStatus
}

// TrackStatus is what somebody publishes.
type TrackStatus struct {
	SID, Source, Codec string
	Muted              bool
	Encrypted          bool // by the clients for each other
	Subscribers        int
	Layers             []LayerStatus // the lowest first
}

// LayerStatus is what comes of a layer.
type LayerStatus struct {
	Layer   int
	Bitrate int // bits per second, with the layers that it depends on
	track.Counts
}

// SubscriptionStatus is what somebody gets.
type SubscriptionStatus struct {
	SID   string // of the track
	From  string // the publisher's identity
	Layer int    // that is sent; -1 for none
	Want  int    // that is to be sent; -1 for none
	track.DownStats
}

// Status tells of the calls that run, the oldest first. It asks each participant's goroutine, and leaves out those that do not
// answer in time.
func (s *Server) Status() []RoomStatus {
	rooms := s.all()
	slices.SortFunc(rooms, func(a, b *Room) int { return a.created.Compare(b.created) })
	var all []RoomStatus
	for _, r := range rooms {
		all = append(all, r.status())
	}
	return all
}

// statusWithin is how long a participant has to answer.
const statusWithin = time.Second

func (r *Room) status() RoomStatus {
	st := RoomStatus{Name: r.name, Created: r.created}
	people := slices.Clone(r.everybody())
	slices.SortFunc(people, func(a, b *Participant) int {
		return cmp.Or(a.joined.Compare(b.joined), cmp.Compare(a.identity, b.identity))
	})
	answers := make([]chan ParticipantStatus, len(people))
	for i, p := range people {
		answer := make(chan ParticipantStatus, 1)
		answers[i] = answer
		p.post(func() { answer <- p.status() })
	}
	timeout := time.After(statusWithin)
	for _, answer := range answers {
		select {
		case a := <-answer:
			st.Participants = append(st.Participants, a)
		case <-timeout:
			return st
		}
	}
	return st
}

// status is called by the participant's goroutine.
func (p *Participant) status() ParticipantStatus {
	info := p.info.Load()
	st := ParticipantStatus{
		Identity: p.identity, Name: info.Name, Joined: p.joined, Connected: p.alive(), Signalling: p.session != nil,
		Estimate: int(p.share.estimate.Load()),
	}
	for _, pub := range p.mine {
		st.Published = append(st.Published, pub.status())
	}
	slices.SortFunc(st.Published, func(a, b TrackStatus) int { return cmp.Compare(a.SID, b.SID) })
	for _, s := range p.subscriptions {
		if s.down == nil {
			continue
		}
		want, _, has := s.down.Selected()
		if !s.down.Up().Video() { // which has one layer
			want = min(want, 0)
			has = want
		}
		st.Subscribed = append(st.Subscribed, SubscriptionStatus{
			SID: s.pub.sid, From: s.pub.owner.identity, Layer: has, Want: want, DownStats: s.down.Stats(),
		})
	}
	slices.SortFunc(st.Subscribed, func(a, b SubscriptionStatus) int { return cmp.Compare(a.SID, b.SID) })
	return st
}

func (pub *publication) status() TrackStatus {
	info := pub.info.Load()
	st := TrackStatus{
		SID: pub.sid, Source: info.Source.String(), Codec: codecName(info.MIMEType), Muted: info.Muted, Encrypted: info.Encryption != 0,
	}
	for _, up := range pub.allUps() {
		st.Subscribers += up.Subscribers()
		rates, counts := up.Bitrates(), up.Counts()
		for i := range codec.MaxSpatial {
			if rate := rates[i][codec.MaxTemporal-1]; rate > 0 || counts[i].Packets > 0 {
				st.Layers = append(st.Layers, LayerStatus{Layer: i, Bitrate: rate, Counts: counts[i]})
			}
		}
	}
	return st
}

package sfu

import (
	"slices"

	"causeway/sfu/signalling"
)

// maxAllowed is how many participants and tracks a client can name when it says who may have its tracks.
const maxAllowed = 4096

// allowance is who may have a participant's tracks: everybody, or those that are named. It is never changed.
type allowance struct {
	everybody bool
	named     []signalling.TrackPermission
}

// allows is whether somebody may have a track of the participant. It may be called from anywhere.
func (p *Participant) allows(other *Participant, track string) bool {
	a := p.allowed.Load()
	if a == nil || a.everybody {
		return true
	}
	return slices.ContainsFunc(a.named, func(t signalling.TrackPermission) bool {
		if t.ParticipantSID != other.sid && (t.ParticipantIdentity == "" || t.ParticipantIdentity != other.identity) {
			return false
		}
		return t.AllTracks || slices.Contains(t.TrackSIDs, track)
	})
}

// allow takes who may have the participant's tracks, and tells those for whom that changes.
func (p *Participant) allow(s *signalling.SubscriptionPermission) {
	n := len(s.TrackPermissions)
	for _, t := range s.TrackPermissions {
		n += len(t.TrackSIDs)
	}
	if n > maxAllowed {
		p.log.Debug().Msg("A client names too many who may have its tracks")
		return
	}
	type pair struct {
		other *Participant
		track string
	}
	before := map[pair]bool{}
	others := p.room.everybody()
	for _, other := range others {
		for _, pub := range p.everyPublication() {
			before[pair{other, pub.sid}] = p.allows(other, pub.sid)
		}
	}
	p.allowed.Store(&allowance{everybody: s.AllParticipants, named: s.TrackPermissions})
	for at, was := range before {
		if now := p.allows(at.other, at.track); now != was && at.other != p {
			m := &signalling.SignalResponse{SubscriptionPermissionUpdate: &signalling.SubscriptionPermissionUpdate{
				ParticipantSID: p.sid, TrackSID: at.track, Allowed: now,
			}}
			at.other.post(func() { at.other.send(m) })
		}
	}
	p.room.reconcile()
}

package sfu

import "causeway/sfu/signalling"

// maxAllowed is how many participants and tracks a client can name when it says who may have its tracks.
const maxAllowed = 4096

// allowance is who may have a participant's tracks: everybody, or those that are named. It is never changed.
type allowance struct {
	everybody bool
	named     map[allowed]bool
}

// allowed is somebody, by one of their two names, who may have a track, or all of them for track "".
type allowed struct{ sid, identity, track string }

func newAllowance(s *signalling.SubscriptionPermission) *allowance {
	a := &allowance{everybody: s.AllParticipants, named: map[allowed]bool{}}
	for _, t := range s.TrackPermissions {
		tracks := t.TrackSIDs
		if t.AllTracks {
			tracks = []string{""}
		}
		for _, track := range tracks {
			if t.ParticipantSID != "" {
				a.named[allowed{sid: t.ParticipantSID, track: track}] = true
			}
			if t.ParticipantIdentity != "" {
				a.named[allowed{identity: t.ParticipantIdentity, track: track}] = true
			}
		}
	}
	return a
}

// allows is whether somebody may have a track of the participant. It may be called from anywhere.
func (p *Participant) allows(other *Participant, track string) bool {
	a := p.allowed.Load()
	if a == nil || a.everybody {
		return true
	}
	return a.named[allowed{sid: other.sid}] || a.named[allowed{identity: other.identity}] ||
		a.named[allowed{sid: other.sid, track: track}] || a.named[allowed{identity: other.identity, track: track}]
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
	p.allowed.Store(newAllowance(s))
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

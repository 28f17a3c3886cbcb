package sfu

import (
	"time"

	"causeway/sfu/signalling"
)

const (
	// refreshEvery is how often a participant is given another access token, by which it can come back.
	refreshEvery = 10 * time.Minute
	// refreshValid is how long such a token is valid. Who may not be in the call any more is kept out by Config.Admit.
	refreshValid = time.Hour
)

// refresh gives the client another access token, when it is time or now.
func (p *Participant) refresh(at time.Time, now bool) {
	if p.session == nil || !now && at.Sub(p.refreshed) < refreshEvery {
		return
	}
	g := p.grant
	g.Permission = *p.may.Load()
	token, err := Mint(g.key, p.server.cfg.Keys[g.key], g, refreshValid)
	if err != nil {
		p.log.Warn().Err(err).Msg("Another access token cannot be made")
		return
	}
	p.refreshed = at
	p.send(&signalling.SignalResponse{RefreshToken: &token})
}

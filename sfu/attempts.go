package sfu

import (
	"errors"
	"sync"

	"golang.org/x/time/rate"
)

// How often somebody may come in by one identity, in a second, and at once: it is work for everybody who is there.
const attemptsRate, attemptsBurst = 1, 20

// maxAttempts is of how many identities attempts are remembered.
const maxAttempts = 10_000

var errTooOften = errors.New("you come too often: try again later")

// attempts are those of who comes in, by room and identity.
type attempts struct {
	mu sync.Mutex // guards of
	of map[[2]string]*rate.Limiter
}

// take counts an attempt of somebody whose access token is good, if they may make another one.
func (a *attempts) take(room, identity string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil || len(a.of) >= maxAttempts {
		a.forget()
	}
	who := [2]string{room, identity}
	l := a.of[who]
	if l == nil {
		l = rate.NewLimiter(attemptsRate, attemptsBurst)
		a.of[who] = l
	}
	return l.Allow()
}

// forget forgets those that have not come for a while, or all where everybody comes. The caller holds mu.
func (a *attempts) forget() {
	kept := map[[2]string]*rate.Limiter{}
	for who, l := range a.of {
		if l.Tokens() < attemptsBurst {
			kept[who] = l
		}
	}
	if len(kept) >= maxAttempts {
		clear(kept)
	}
	a.of = kept
}

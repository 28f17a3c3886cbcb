package room

import (
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

	"maunium.net/go/mautrix/id"
)

const (
	// walkLifetime is how long the token of a page is good.
	walkLifetime = 10 * time.Minute
	// maxWalks bounds the tokens that are kept, and maxWalksOf those of one user. The oldest go.
	maxWalks, maxWalksOf = 500, 8
)

// spaceWalks are walks through spaces that have been interrupted, by their tokens. They are kept in memory alone: who comes back too late
// begins anew.
type spaceWalks struct {
	mu    sync.Mutex // guards walks
	walks []keptWalk // oldest first
}

type keptWalk struct {
	token   string
	walk    *spaceWalk
	expires time.Time
}

// keep remembers where a walk is.
func (k *spaceWalks) keep(w *spaceWalk, now time.Time) (token string) {
	token = rand.Text()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(now)
	own := 0
	for _, kept := range k.walks {
		if kept.walk.req.User == w.req.User {
			own++
		}
	}
	if own >= maxWalksOf {
		i := slices.IndexFunc(k.walks, func(kept keptWalk) bool { return kept.walk.req.User == w.req.User })
		k.walks = slices.Delete(k.walks, i, i+1)
	}
	if len(k.walks) >= maxWalks {
		k.walks = slices.Delete(k.walks, 0, 1)
	}
	k.walks = append(k.walks, keptWalk{token: token, walk: w, expires: now.Add(walkLifetime)})
	return token
}

// drop forgets walks whose time is over. The caller holds mu.
func (k *spaceWalks) drop(now time.Time) {
	k.walks = slices.DeleteFunc(k.walks, func(kept keptWalk) bool { return !now.Before(kept.expires) })
}

// resume returns a copy of the walk that a request goes on with. A token may be used again. 400 M_INVALID_PARAM.
func (k *spaceWalks) resume(req HierarchyRequest, now time.Time) (*spaceWalk, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(now)
	for _, kept := range k.walks {
		w := kept.walk
		if kept.token != req.From || w.req.User != req.User || w.req.RoomID != req.RoomID {
			continue
		}
		if w.req.SuggestedOnly != req.SuggestedOnly || w.req.MaxDepth != req.MaxDepth {
			return nil, matrixError(400, "M_INVALID_PARAM", "suggested_only and max_depth cannot change from page to page")
		}
		seen := make(map[id.RoomID]bool, len(w.seen))
		maps.Copy(seen, w.seen)
		return &spaceWalk{req: w.req, stack: slices.Clone(w.stack), seen: seen}, nil
	}
	return nil, matrixError(400, "M_INVALID_PARAM", "from is not a token of this server, or its time is over")
}

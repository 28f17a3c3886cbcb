package focus

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// nodeService is what nodes have beyond LiveKit's RoomService: Ping and Status.
const nodeService = "causeway.Node"

// run asks all nodes until ctx ends.
func (ns *Nodes) run(ctx context.Context, s *Service) {
	var running sync.WaitGroup
	for _, n := range ns.all {
		running.Go(func() { ns.watch(ctx, n, s) })
	}
	running.Wait()
}

// askAll asks all nodes once.
func (ns *Nodes) askAll(ctx context.Context, s *Service) {
	var running sync.WaitGroup
	for _, n := range ns.all {
		running.Go(func() { ns.ask(ctx, n, s) })
	}
	running.Wait()
}

// watch asks a node until ctx ends.
func (ns *Nodes) watch(ctx context.Context, n *node, s *Service) {
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		ns.ask(ctx, n, s)
		select {
		case <-ctx.Done():
			return
		case <-n.ring:
		case <-ticker.C:
		}
	}
}

// pong is what a node says of itself.
type pong struct {
	Instance string `json:"instance"` // since its start
}

// ask finds out whether a node is there, and acts on what has changed.
func (ns *Nodes) ask(ctx context.Context, n *node, s *Service) {
	within, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	var answer pong
	known := ""
	ns.mu.Lock()
	if n.live && !n.anew {
		known = n.instance
	}
	ns.mu.Unlock()
	err := n.api.callAt(within, nodeService, "Ping", apiGrant{RoomList: true}, map[string]any{
		"node": n.Name, "server": ns.cfg.ServerName, "webhook": ns.cfg.Webhook, "instance": known,
	}, &answer)
	if err == nil {
		err = ns.answered(ctx, n, answer.Instance, s)
	}
	if err != nil && ctx.Err() == nil {
		ns.silent(n, err, s)
	}
}

// silent is for a node that does not answer. It is given up when that lasts.
func (ns *Nodes) silent(n *node, err error, s *Service) {
	ns.mu.Lock()
	first := !n.failing && n.heard.IsZero()
	n.failing = true
	dead := n.live && time.Since(n.heard) > deadAfter
	var rooms []string
	others := false
	for _, other := range ns.all {
		others = others || other != n && other.live && !other.failing
	}
	switch {
	case dead:
		rooms = ns.rooms(n)
	case !n.live && time.Since(n.heard) > forgetAfter:
		maps.DeleteFunc(ns.placed, func(_ string, p *placement) bool { return p.on == n })
	}
	ns.mu.Unlock()
	calls := 0
	if dead {
		calls = s.lost(rooms) // before any of them can be on another node
		ns.mu.Lock()
		n.live = false
		ns.stir()
		ns.mu.Unlock()
	}
	switch {
	case dead && others:
		ns.cfg.Log.Error().Err(err).Str("node", n.Name).Int("calls", calls).
			Msg(silence(err) + " any more: its calls are lost, and those who join them again get another node")
	case dead:
		ns.cfg.Log.Error().Err(err).Str("node", n.Name).Int("calls", calls).
			Msg(silence(err) + " any more, and there is no other: nobody can call until it is back")
	case first:
		ns.cfg.Log.Warn().Err(err).Str("node", n.Name).Msg(silence(err))
	}
}

// silence says in words what an error of a node comes from, as far as it tells.
func silence(err error) string {
	if refused, ok := errors.AsType[*refusal](err); ok && refused.code == "unauthenticated" {
		return "A node for calls refuses what we ask, as calls.sfu.secret is another one there or the clocks differ, and does not serve us"
	}
	return "A node for calls does not answer"
}

// stir tells those who wait for a node. The caller holds mu.
func (ns *Nodes) stir() {
	close(ns.changed)
	ns.changed = make(chan struct{})
}

// answered is for a node that does.
func (ns *Nodes) answered(ctx context.Context, n *node, instance string, s *Service) error {
	ns.mu.Lock()
	was := n.live
	var lost []string
	if n.instance != "" && n.instance != instance {
		n.anew = true
		if was {
			lost = ns.rooms(n)
		}
	}
	n.instance = instance
	anew, known := n.anew, n.live && !n.anew && time.Since(n.compared) < compareEvery
	ns.mu.Unlock()
	s.lost(lost) // before any of them can come back
	if !known {
		if err := ns.compare(ctx, n, anew); err != nil {
			return err
		}
	}
	ns.mu.Lock()
	n.heard, n.anew = time.Now(), false
	if n.failing || !n.live {
		n.failing, n.live = false, true
		ns.stir()
	}
	ns.mu.Unlock()
	if !was {
		ns.cfg.Log.Info().Str("node", n.Name).Msg("A node for calls answers")
	}
	if !was || anew {
		ring(s.poll) // who is in its calls
	}
	return nil
}

// compare makes a node and what we know of it agree. Calls of before our own start are taken in; those that have moved end there, and those that
// a node has forgotten over its start are made again.
func (ns *Nodes) compare(ctx context.Context, n *node, anew bool) error {
	ctx, cancel := context.WithTimeout(ctx, compareWithin)
	defer cancel()
	asked := time.Now()
	var out struct {
		Rooms []struct {
			Name string `json:"name"`
		} `json:"rooms"`
	}
	if err := n.api.call(ctx, "ListRooms", apiGrant{RoomList: true}, struct{}{}, &out); err != nil {
		return err
	}
	there, moved, forgotten := map[string]bool{}, []string(nil), []string(nil)
	ns.mu.Lock()
	for _, room := range out.Rooms {
		there[room.Name] = true
		switch p := ns.placed[room.Name]; {
		case p == nil:
			ns.placed[room.Name] = &placement{on: n, opened: asked}
		case p.on != n && !p.opened.IsZero():
			moved = append(moved, room.Name)
		}
	}
	for _, room := range ns.rooms(n) {
		switch {
		case there[room] || ns.placed[room].opened.After(asked):
		case anew:
			forgotten = append(forgotten, room)
		default: // all have left it
			delete(ns.placed, room)
		}
	}
	n.compared = asked
	ns.mu.Unlock()
	var telling errgroup.Group
	telling.SetLimit(comparers)
	for _, room := range moved {
		telling.Go(func() error { return n.api.delete(ctx, room) })
	}
	for _, room := range forgotten {
		telling.Go(func() error {
			_, err := n.api.open(ctx, room)
			return err
		})
	}
	err := telling.Wait()
	if err != nil {
		ns.mu.Lock()
		n.compared = time.Time{} // so that it is done again
		ns.mu.Unlock()
	}
	return err
}

// delete ends a call, and puts all out who are in it.
func (l *LiveKit) delete(ctx context.Context, room string) error {
	var out struct{}
	err := l.call(ctx, "DeleteRoom", apiGrant{RoomCreate: true}, map[string]any{"room": room}, &out)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// rejoinWithin is how long those whose SFU is gone have to come back, until their membership ends.
const rejoinWithin = 15 * time.Second

// lost takes in that nobody is in some calls any more because their node is gone, and returns in how many somebody was.
func (s *Service) lost(rooms []string) int {
	in := map[string]bool{}
	for _, room := range rooms {
		in[room] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	by, calls := time.Now().Add(rejoinWithin), map[string]bool{}
	for k, t := range s.seats {
		if !in[k.alias] || t.here == 0 {
			continue
		}
		calls[k.alias] = true
		t.here, t.sids = 0, nil
		t.UntilTS = max(t.UntilTS, time.Now().Add(tokenLife).UnixMilli())
		for _, d := range s.delegations {
			if d.of(t) && d.here && !s.present(&d.row) {
				d.here, d.arriveBy = false, by
			}
		}
	}
	return len(calls)
}

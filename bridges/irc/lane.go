package irc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const (
	// ownLaneBuffer is laneBuffer for a room of a user's own, of which there are many.
	ownLaneBuffer = 16
	// laneParallel is the number of ghosts that enter or leave a room at once after NAMES.
	laneParallel = 8
	// deliverTries and deliverPause bound how often an item is offered to a homeserver that fails; the pause
	// doubles. It is five minutes in all.
	deliverTries = 9
	deliverPause = time.Second
	// maxDeliverPause is where the doubling ends.
	maxDeliverPause = time.Minute
)

// lane carries what happens in one channel to Matrix, one thing after the other.
type lane struct {
	net      *network
	name     string    // of the channel when it was made
	owner    id.UserID // whose own room it is for, or empty; see own.go
	items    chan item
	done     chan struct{} // closed when the goroutine ends
	log      zerolog.Logger
	overflow laneQueue

	mu       sync.Mutex       // guards accounts
	accounts map[string]known // of who is in the channel, by folded nick
	scene    scene            // of the goroutine
	strict   strictView       // of the goroutine

	making sync.RWMutex // held for writing while somebody else makes the room

	strictNews atomic.Bool // there may be something to tell of strict

	renamed atomic.Pointer[string] // what the channel is called now, if that is not name

	stuck atomic.Bool  // its leader has waited in vain and nothing was delivered since
	lost  atomic.Int64 // items lost since then
	taken atomic.Int64 // items that the goroutine has begun with
}

// item is something to do in a room. It is done again when it returns an error that may pass.
type item interface {
	deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error
}

// newLane starts the goroutine, which ends with a stopItem or with ctx.
func newLane(ctx context.Context, net *network, name string) *lane {
	return net.runLane(ctx, &lane{
		net: net, name: name, items: make(chan item, laneBuffer), done: make(chan struct{}),
		log: net.log.Hook(logField{"channel", name}),
	})
}

func startLane(ctx context.Context, l *lane) *lane {
	go l.run(l.log.WithContext(ctx))
	return l
}

// newOwnLane is newLane for a room of a user's own. Names of conversations are not logged.
func newOwnLane(ctx context.Context, net *network, owner id.UserID, name string) *lane {
	return net.runLane(ctx, &lane{
		net: net, name: name, owner: owner, items: make(chan item, ownLaneBuffer), done: make(chan struct{}),
		log: net.log.Hook(logField{"owner", owner.String()}),
	})
}

// called is the name of the channel.
func (l *lane) called() string {
	if name := l.renamed.Load(); name != nil {
		return *name
	}
	return l.name
}

// resume comes after a delivery: it tells the room what it has missed, and brings its members up to date.
func (l *lane) resume(ctx context.Context) {
	if !l.stuck.Load() && l.lost.Load() == 0 {
		return
	}
	l.overflow.moved.Store(time.Now().UnixMilli())
	l.stuck.Store(false)
	lost := l.lost.Swap(0)
	if lost == 0 {
		return
	}
	l.log.Error().Int64("lost", lost).Msg("the room takes lines again")
	text := fmt.Sprintf("%d lines from IRC (messages, or people who came or went) could not be shown here.", lost)
	if err := l.deliverOnce(ctx, noticeItem{text: text}); err != nil {
		l.log.Err(err).Msg("tell a room that lines are lost")
	}
	l.channel().resync()
}

// stopItem ends a lane after all that is before it.
type stopItem struct{}

func (stopItem) deliver(context.Context, *lane, *bridgev2.Portal) error { return nil }

func (l *lane) run(ctx context.Context) {
	defer close(l.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(l.due(time.Now())))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			if !l.deliver(ctx, dueItem{}) {
				l.scene.giveUp()
			}
		case it := <-l.items:
			l.taken.Add(1)
			l.refill()
			if _, stop := it.(stopItem); stop {
				return
			}
			if mark, ok := it.(*markItem); ok {
				mark.passed()
				continue
			}
			l.deliver(ctx, it)
		}
	}
}

// deliver does an item, again if need be. What cannot be done is dropped with an error in the log, so that the
// rest can follow.
func (l *lane) deliver(ctx context.Context, it item) (done bool) {
	pause := deliverPause
	for try := 1; ; try++ {
		err := l.deliverOnce(ctx, it)
		switch {
		case err == nil:
			l.resume(ctx)
			return true
		case ctx.Err() != nil:
			return false
		case isFinal(err) || try == deliverTries:
			l.log.Err(err).Msgf("drop %T", it)
			return false
		}
		l.log.Warn().Err(err).Msgf("deliver %T, will try again", it)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
		pause = min(2*pause, maxDeliverPause)
	}
}

// portal is where the lane delivers to, nil when there is none.
func (l *lane) portal(ctx context.Context) (*bridgev2.Portal, error) {
	if l.owner == "" {
		return l.net.conn.portalOf(ctx, l.net, l.called())
	}
	return l.net.conn.existing(ctx, l.key())
}

// hasRoom reports whether there is a room to deliver to.
func (c *Connector) hasRoom(portal *bridgev2.Portal) bool {
	c.roomsMu.RLock()
	defer c.roomsMu.RUnlock()
	return portal != nil && portal.MXID != ""
}

// hasRoom is Connector.hasRoom once nobody makes the room.
func (l *lane) hasRoom(portal *bridgev2.Portal) bool {
	l.making.RLock()
	defer l.making.RUnlock()
	return l.net.conn.hasRoom(portal)
}

func (l *lane) deliverOnce(ctx context.Context, it item) error {
	portal, err := l.portal(ctx)
	if err != nil {
		return err
	}
	if l.makesRoom(it) && !l.hasRoom(portal) {
		it = ownRoomItem{it}
	}
	if maker, ok := it.(roomMaker); ok && !l.hasRoom(portal) {
		if err := maker.makeRoom(ctx, l); err != nil {
			return err
		}
		portal, err = l.portal(ctx)
		if err != nil {
			return err
		}
	}
	// Until it is delivered nobody gives the user another room.
	l.making.RLock()
	defer l.making.RUnlock()
	if !l.net.conn.hasRoom(portal) {
		return nil
	}
	if err := l.beforehand(ctx, it, portal); err != nil {
		return err
	}
	return it.deliver(ctx, l, portal)
}

// isFinal reports whether the homeserver has said no, rather than failed.
func isFinal(err error) bool {
	var httpErr mautrix.HTTPError
	if !errors.As(err, &httpErr) || httpErr.Response == nil {
		return false
	}
	status := httpErr.Response.StatusCode
	return status >= 400 && status < 500 && status != http.StatusTooManyRequests
}

// ghost returns the ghost of a nick, or of its account, with the nick as it is written now for its name.
func (l *lane) ghost(ctx context.Context, nick string) (*bridgev2.Ghost, error) {
	return l.ghostNamed(ctx, nick, false)
}

// ghostNamed is ghost, where comes tells that the nick is new in the channel, or for somebody there.
func (l *lane) ghostNamed(ctx context.Context, nick string, comes bool) (*bridgev2.Ghost, error) {
	ghost, err := l.net.conn.br.GetGhostByID(ctx, l.ghostID(nick))
	if err != nil {
		return nil, err
	}
	if l.keepsWords() {
		l.net.presences.hush(l.net, nick)
	}
	l.net.conn.names.set(ctx, ghost, nick, func(name string) bool { return l.namedElse(ghost.ID, name, nick, comes) })
	return ghost, nil
}

// enter lets the ghost of a nick join. Who has become one of us meanwhile is no ghost.
func (l *lane) enter(ctx context.Context, portal *bridgev2.Portal, nick string) error {
	if l.isOurs(nick) {
		return nil
	}
	ghost, err := l.ghostNamed(ctx, nick, true)
	if err != nil {
		return err
	}
	return ghost.Intent.EnsureJoined(ctx, portal.MXID)
}

// leave lets the ghost of a nick leave, if it is there and is nobody else's in the channel.
func (l *lane) leave(ctx context.Context, portal *bridgev2.Portal, nick, reason string) error {
	if !l.shared(nick) {
		if err := l.leaveAs(ctx, portal, l.ghostID(nick), nick, reason); err != nil {
			return err
		}
	}
	l.know(nick, "")
	return nil
}

// leaveAs lets a ghost leave that was known by a nick.
func (l *lane) leaveAs(ctx context.Context, portal *bridgev2.Portal, id networkid.UserID, nick, reason string) error {
	ghost, err := l.net.conn.br.GetExistingGhostByID(ctx, id)
	if err != nil || ghost == nil {
		return err
	}
	user := ghost.Intent.GetMXID()
	member, err := l.net.conn.br.Matrix.GetMemberInfo(ctx, portal.MXID, user)
	if err != nil || member == nil || member.Membership != event.MembershipJoin {
		return err
	}
	_, err = ghost.Intent.SendState(ctx, portal.MXID, event.StateMember, user.String(), &event.Content{
		Parsed: &event.MemberEventContent{Membership: event.MembershipLeave, Displayname: nick, Reason: reason},
	}, time.Time{})
	return err
}

// isIn reports whether a ghost is in the room.
func (l *lane) isIn(ctx context.Context, portal *bridgev2.Portal, ghost networkid.UserID) (bool, error) {
	user := l.net.conn.br.Matrix.FormatGhostMXID(ghost)
	member, err := l.net.conn.br.Matrix.GetMemberInfo(ctx, portal.MXID, user)
	return err == nil && member != nil && member.Membership == event.MembershipJoin, err
}

// namesItem makes the ghosts in the room those of a list of nicks.
type namesItem struct {
	nicks    []string
	accounts map[string]string // by nick, of those who have one
	stands   []stand           // of all who have a rank, and of us
}

func (n *namesItem) account(nick, account string) {
	if n.accounts == nil {
		n.accounts = map[string]string{}
	}
	n.accounts[nick] = account
}

// whyGone tells why a ghost is not of the list: who is known by their account from now on is there still.
func (n namesItem) whyGone(nick string, fold Casemapping) string {
	for known := range n.accounts {
		if fold.Fold(known) == nick {
			return "is known by their account on IRC from now on"
		}
	}
	return "is not on the channel any more"
}

func (n namesItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	members, err := l.net.conn.br.Matrix.GetMembers(ctx, portal.MXID)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, nick := range n.nicks {
		l.scene.splits.comeBack(l.net.ids.fold.Fold(nick), now)
	}
	l.knowAll(n.accounts, l.scene.splits.away)
	split := map[networkid.UserID]bool{}
	for _, away := range l.scene.splits.away {
		split[l.ghostID(away.nick)] = true
	}
	gone := l.ghostsIn(members)
	l.setStands(n.stands)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(laneParallel)
	for _, nick := range n.nicks {
		user := l.net.conn.br.Matrix.FormatGhostMXID(l.ghostID(nick))
		if _, there := gone[user]; there {
			delete(gone, user)
			continue
		}
		if l.net.shows(l.called()) == showAll {
			group.Go(func() error { return l.enter(ctx, portal, nick) })
		}
	}
	for _, ghost := range gone {
		if split[ghost] {
			continue
		}
		_, nick, _ := splitID(string(ghost))
		nick = strings.TrimPrefix(nick, accountPrefix)
		group.Go(func() error { return l.leaveAs(ctx, portal, ghost, nick, n.whyGone(nick, l.net.ids.fold)) })
	}
	return group.Wait()
}

// ghostsIn returns the joined ghosts of this network.
func (l *lane) ghostsIn(members map[id.UserID]*event.MemberEventContent) map[id.UserID]networkid.UserID {
	ghosts := map[id.UserID]networkid.UserID{}
	for user, member := range members {
		if member.Membership != event.MembershipJoin {
			continue
		}
		ghost, ok := l.net.conn.br.Matrix.ParseGhostMXID(user)
		if network, name, _ := splitID(string(ghost)); ok && network == l.net.name && !strings.HasPrefix(name, ownPrefix) {
			ghosts[user] = ghost
		}
	}
	return ghosts
}

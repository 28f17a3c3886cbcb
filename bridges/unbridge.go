package bridges

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/format"
	"maunium.net/go/mautrix/id"
)

const (
	// leavePause is the time between two departures of ghosts, of all rooms together, give or take a half. Each is an
	// event that goes to everybody in the room.
	leavePause = time.Second
	// maxLeaveTries is how often a ghost leaves that is still said to be there.
	maxLeaveTries = 3
	// unbridgeRetry is the time before a room is taken up again in which something failed. It doubles up to maxUnbridgeRetry.
	unbridgeRetry    = 5 * time.Second
	maxUnbridgeRetry = 10 * time.Minute
)

// unbridger takes the bridge out of rooms, and leaves those to the people in them: first the portal goes, then one
// ghost after the other, then the bot, and at last the aliases that are the bridge's. Which rooms is in the database,
// and what is left to do is asked of the homeserver, so it goes on after a process that died at any point.
type unbridger struct {
	b     *Bridge
	pause time.Duration // leavePause, but in tests
	wake  chan struct{} // of size 1
	count atomic.Int64  // of rooms, for Status
}

func newUnbridger(b *Bridge) *unbridger {
	return &unbridger{b: b, pause: leavePause, wake: make(chan struct{}, 1)}
}

// Unbridge has the bridge leave a room, which may take a while. It returns when that will be done, whatever happens.
// A room that the bridge is leaving already is no error. reason is told to the room.
func (b *Bridge) Unbridge(ctx context.Context, room id.RoomID, reason string) error {
	_, err := b.raw.Exec(ctx, `INSERT INTO host_unbridge (room_id, asked_ts, reason, aliases) VALUES ($1, $2, $3, '')
		ON CONFLICT (room_id) DO NOTHING`, room, time.Now().UnixMilli(), reason)
	if err != nil {
		return fmt.Errorf("store that %s is to be unbridged: %w", room, err)
	}
	select {
	case b.unbridger.wake <- struct{}{}:
	default:
	}
	return nil
}

// unbridging is one room on its way. What is not in the database is lost with the process, and found out again.
type unbridging struct {
	room    id.RoomID
	askedTS int64
	reason  string
	aliases []id.RoomAlias
	listed  bool // whether aliases are known

	ghosts []id.UserID       // to leave next
	tries  map[id.UserID]int // by ghost
	retry  time.Duration
	notBy  time.Time // when it is tried again
}

// load adds the rooms of the database that are not in jobs.
func (u *unbridger) load(ctx context.Context, jobs map[id.RoomID]*unbridging) error {
	rows, err := u.b.raw.Query(ctx, `SELECT room_id, asked_ts, reason, aliases FROM host_unbridge`)
	if err != nil {
		return fmt.Errorf("read the rooms to be unbridged: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		j := &unbridging{tries: map[id.UserID]int{}}
		var aliases string
		if err := rows.Scan(&j.room, &j.askedTS, &j.reason, &aliases); err != nil {
			return fmt.Errorf("read the rooms to be unbridged: %w", err)
		}
		if aliases != "" {
			if err := json.Unmarshal([]byte(aliases), &j.aliases); err != nil {
				return fmt.Errorf("read the aliases of %s: %w", j.room, err)
			}
			j.listed = true
		}
		if jobs[j.room] == nil {
			jobs[j.room] = j
		}
	}
	return rows.Err()
}

// run works until ctx ends, at all rooms in turn.
func (u *unbridger) run(ctx context.Context) {
	jobs := map[id.RoomID]*unbridging{}
	for {
		if err := u.load(ctx, jobs); err != nil && ctx.Err() == nil {
			u.b.log.Err(err).Msg("unbridge")
		}
		u.count.Store(int64(len(jobs)))
		left := false
		for room, j := range jobs {
			if ctx.Err() != nil {
				return
			}
			if time.Now().Before(j.notBy) {
				continue
			}
			finished, err := u.step(ctx, j)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				j.retry = min(max(2*j.retry, unbridgeRetry), maxUnbridgeRetry)
				j.notBy = time.Now().Add(j.retry)
				u.b.log.Err(err).Stringer("room_id", room).Stringer("retry_in", j.retry).Msg("unbridge a room")
			case finished:
				delete(jobs, room)
				u.count.Store(int64(len(jobs)))
			default:
				j.retry, left = 0, true
				u.sleep(ctx, jitter(u.pause))
			}
		}
		if !left && !u.rest(ctx, len(jobs) > 0) {
			return
		}
	}
}

// rest waits until there is something new to do, or, when some rooms have failed, for a while.
func (u *unbridger) rest(ctx context.Context, failed bool) bool {
	var after <-chan time.Time
	if failed {
		after = time.After(unbridgeRetry)
	}
	select {
	case <-u.wake:
	case <-after:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

func (u *unbridger) sleep(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// jitter is between half and one and a half of a pause.
func jitter(pause time.Duration) time.Duration { return pause/2 + rand.N(pause+1) }

// step does the next thing that is to be done for a room. Each can be done again.
func (u *unbridger) step(ctx context.Context, j *unbridging) (finished bool, err error) {
	if !j.listed {
		return false, u.list(ctx, j)
	}
	portal, err := u.b.v2.GetPortalByMXID(ctx, j.room)
	if err != nil {
		return false, fmt.Errorf("load the portal: %w", err)
	}
	if portal != nil {
		u.announce(ctx, j)
		if leaver, ok := u.b.opts.Network.(PortalLeaver); ok {
			if err := leaver.LeavePortal(ctx, portal); err != nil {
				return false, fmt.Errorf("leave the chat on the network: %w", err)
			}
		}
		if err := portal.Delete(ctx); err != nil {
			return false, fmt.Errorf("delete the portal: %w", err)
		}
		return false, nil
	}
	if len(j.ghosts) == 0 {
		if j.ghosts, err = u.ghosts(ctx, j); err != nil {
			return false, fmt.Errorf("list the ghosts: %w", err)
		}
	}
	if len(j.ghosts) > 0 {
		ghost := j.ghosts[0]
		j.ghosts = j.ghosts[1:]
		j.tries[ghost]++
		_, err := u.b.conn.ghosts.intent(ghost).LeaveRoom(ctx, j.room)
		return false, unlessGone(err, "have %s leave", ghost)
	}
	return true, u.finish(ctx, j)
}

// unlessGone leaves out that somebody has left, or something was deleted, already.
func unlessGone(err error, doing string, args ...any) error {
	if err == nil || errors.Is(err, mautrix.MForbidden) || errors.Is(err, mautrix.MNotFound) {
		return nil
	}
	return fmt.Errorf(doing+": %w", append(args, err)...)
}

// list stores the aliases of the room that are the bridge's, which only those who are in the room can ask for.
func (u *unbridger) list(ctx context.Context, j *unbridging) error {
	j.aliases = []id.RoomAlias{}
	known, err := u.b.conn.Bot.GetAliases(ctx, j.room)
	if err := unlessGone(err, "list the aliases"); err != nil {
		return err
	}
	if known != nil {
		for _, alias := range known.Aliases {
			if u.b.reg.ExclusiveAlias(alias) {
				j.aliases = append(j.aliases, alias)
			}
		}
	}
	raw, err := json.Marshal(j.aliases)
	if err != nil {
		return err
	}
	if _, err := u.b.raw.Exec(ctx, `UPDATE host_unbridge SET aliases=$1 WHERE room_id=$2`, string(raw), j.room); err != nil {
		return fmt.Errorf("store the aliases: %w", err)
	}
	j.listed = true
	return nil
}

// announce tells the room what happens, once. A room that cannot be told is left all the same.
func (u *unbridger) announce(ctx context.Context, j *unbridging) {
	bot := u.b.conn.BotIntent().(*intent)
	text := format.TextToContent(fmt.Sprintf("This room is no longer bridged to %s: %s.", u.b.opts.Network.GetName().DisplayName, j.reason))
	text.MsgType = event.MsgNotice
	content := &event.Content{Parsed: &text}
	eventType, err := bot.encrypt(ctx, j.room, event.EventMessage, content, nil)
	if err == nil {
		_, err = bot.Matrix.SendMessageEvent(ctx, j.room, eventType, content, mautrix.ReqSendEvent{
			TransactionID: "unbridge-" + strconv.FormatInt(j.askedTS, 10),
		})
	}
	if err != nil {
		u.b.log.Warn().Err(err).Stringer("room_id", j.room).Msg("telling a room that it is unbridged")
	}
}

// ghosts are those that are in the room or invited, and have not left often enough.
func (u *unbridger) ghosts(ctx context.Context, j *unbridging) (ghosts []id.UserID, err error) {
	members, err := u.b.conn.Bot.Members(ctx, j.room)
	if errors.Is(err, mautrix.MForbidden) || errors.Is(err, mautrix.MNotFound) {
		// The bot has been there never, or for the last time so long ago that the room is gone.
		return u.remembered(ctx, j)
	}
	if err != nil {
		return nil, err
	}
	for _, member := range members.Chunk {
		membership := member.Content.AsMember().Membership
		if membership == event.MembershipJoin || membership == event.MembershipInvite {
			ghosts = u.append(ghosts, j, id.UserID(member.GetStateKey()))
		}
	}
	return ghosts, nil
}

// remembered are the ghosts that the bridge itself remembers in a room.
func (u *unbridger) remembered(ctx context.Context, j *unbridging) (ghosts []id.UserID, err error) {
	members, err := u.b.conn.StateStore.GetRoomMembers(ctx, j.room, event.MembershipJoin, event.MembershipInvite)
	for user := range members {
		ghosts = u.append(ghosts, j, user)
	}
	return ghosts, err
}

func (u *unbridger) append(ghosts []id.UserID, j *unbridging, user id.UserID) []id.UserID {
	if u.b.v2.IsGhostMXID(user) && user != u.b.conn.Bot.UserID && j.tries[user] < maxLeaveTries {
		ghosts = append(ghosts, user)
	}
	return ghosts
}

// finish has the bot leave, and after that nothing point to the room.
func (u *unbridger) finish(ctx context.Context, j *unbridging) error {
	bot := u.b.conn.Bot
	_, err := bot.LeaveRoom(ctx, j.room)
	if err := unlessGone(err, "have the bot leave"); err != nil {
		return err
	}
	for _, alias := range j.aliases {
		// An alias that has been given to another room meanwhile is that room's.
		to, err := bot.ResolveAlias(ctx, alias)
		if err == nil && to.RoomID == j.room {
			_, err = bot.DeleteAlias(ctx, alias)
		}
		if err := unlessGone(err, "delete %s", alias); err != nil {
			return err
		}
	}
	if err := u.b.conn.StateStore.ClearCachedMembers(ctx, j.room); err != nil {
		return fmt.Errorf("forget the members: %w", err)
	}
	for _, query := range []string{`DELETE FROM host_deserted WHERE room_id=$1`, `DELETE FROM host_unbridge WHERE room_id=$1`} {
		if _, err := u.b.raw.Exec(ctx, query, j.room); err != nil {
			return fmt.Errorf("store that it is done: %w", err)
		}
	}
	return nil
}

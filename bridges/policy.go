package bridges

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const (
	// maxPolicyRooms bounds the rooms of a configuration.
	maxPolicyRooms = 50
	// policyRetry is the time before a policy room that could not be entered or read is tried again.
	policyRetry = time.Minute
)

// PolicyRooms are rooms of moderation policy lists, by ID or alias. Whom they ban is not let in to a bridge. Client-Server API, Moderation
// policy lists.
type PolicyRooms []string

// Validate checks the configuration; errors name the entry.
func (r PolicyRooms) Validate() error {
	if len(r) > maxPolicyRooms {
		return fmt.Errorf("has more than %d rooms", maxPolicyRooms)
	}
	var faults []error
	for i, room := range r {
		name, server, _ := strings.Cut(room, ":")
		isID, isAlias := strings.HasPrefix(room, "!"), strings.HasPrefix(room, "#") && server != ""
		if len(name) < 2 || len(room) > maxFieldBytes || !isID && !isAlias || strings.ContainsAny(room, " \t\r\n") {
			faults = append(faults, fmt.Errorf("entry %d is neither the ID of a room (!…) nor an alias (#name:server)", i+1))
		}
	}
	return errors.Join(faults...)
}

// policies follow the policy rooms. The bot is in them, and the homeserver keeps their state: nothing of it is stored here. A room that
// the bot has been in and cannot read now goes on as it was last read.
type policies struct {
	b    *Bridge
	wake chan struct{} // of size 1: rules have changed, or rooms are to be read

	mu     sync.Mutex                             // guards what follows
	rooms  map[string]id.RoomID                   // of the configuration that the bot has entered, by how they are called there
	lists  map[id.RoomID]map[[2]string]policyRule // by type and state key
	unread map[id.RoomID]bool                     // those that have to be read as a whole
	full   bool                                   // there were too many rules
	rules  atomic.Pointer[ruleSet]                // nil when it has to be put together anew
	ended  map[id.UserID]bool                     // whose logins are ended; of the goroutine that enforces
}

func newPolicies(b *Bridge) *policies {
	return &policies{
		b: b, wake: make(chan struct{}, 1), rooms: map[string]id.RoomID{}, lists: map[id.RoomID]map[[2]string]policyRule{},
		unread: map[id.RoomID]bool{}, ended: map[id.UserID]bool{},
	}
}

// on reports whether there are policy rooms at all.
func (p *policies) on() bool { return len(p.b.opts.PolicyRooms) > 0 }

func (p *policies) ring() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// current are the rules as they are now.
func (p *policies) current() *ruleSet {
	if rules := p.rules.Load(); rules != nil {
		return rules
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if rules := p.rules.Load(); rules != nil {
		return rules
	}
	rules, whole := newRuleSet(p.lists)
	if !whole && !p.full {
		p.b.log.Error().Int("rules", maxPolicyRules).Msg("the policy rooms have more rules than are followed")
	}
	p.full = !whole
	p.rules.Store(rules)
	return rules
}

// excluded returns whether a user is kept out of the bridge, and why. The bridge itself never is, and its administrators are not locked
// out by lists that others write.
func (p *policies) excluded(user id.UserID) (reason string, is bool) {
	if !p.on() {
		return "", false
	}
	reason, is = p.current().user(user)
	if !is || user == p.b.conn.Bot.UserID || p.b.v2.IsGhostMXID(user) || p.b.opts.Permissions.Get(user).Admin {
		return "", false
	}
	return reason, true
}

// excludedText is what people read who are kept out.
func excludedText(reason string) string {
	if reason == "" {
		return "a policy list of this bridge bans you"
	}
	return "a policy list of this bridge bans you: " + reason
}

// refresh enters the policy rooms that the bot is not in, and reads those that have to be read. It reports false when it has to be done
// again.
func (p *policies) refresh(ctx context.Context) bool {
	good := true
	for _, name := range p.b.opts.PolicyRooms {
		p.mu.Lock()
		_, entered := p.rooms[name]
		p.mu.Unlock()
		if entered {
			continue
		}
		resp, err := p.b.conn.Bot.JoinRoom(ctx, name, nil)
		if err != nil {
			good = false
			p.b.log.Err(err).Str("room", name).Msg("enter a policy room; whom it bans is let in meanwhile")
			continue
		}
		p.mu.Lock()
		p.rooms[name], p.unread[resp.RoomID] = resp.RoomID, true
		if p.lists[resp.RoomID] == nil {
			p.lists[resp.RoomID] = map[[2]string]policyRule{}
		}
		p.mu.Unlock()
	}
	p.mu.Lock()
	var unread []id.RoomID
	for room := range p.unread {
		unread = append(unread, room)
	}
	clear(p.unread)
	p.mu.Unlock()
	for _, room := range unread {
		if err := p.read(ctx, room); err != nil {
			good = false
			p.b.log.Err(err).Stringer("room_id", room).Msg("read a policy room")
			p.mu.Lock()
			p.unread[room] = true
			p.mu.Unlock()
		}
	}
	return good
}

// read reads all rules of a room.
func (p *policies) read(ctx context.Context, room id.RoomID) error {
	state, err := p.b.conn.Bot.State(ctx, room)
	if err != nil {
		return err
	}
	list := map[[2]string]policyRule{}
	for eventType := range policyTypes {
		for key, evt := range state[event.Type{Type: eventType, Class: event.StateEventType}] {
			if rule, ok := readPolicy(eventType, evt.Content.Raw); ok {
				list[[2]string{eventType, key}] = rule
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lists[room] = list
	p.rules.Store(nil)
	return nil
}

// follows reports whether a room is one of the policy rooms.
func (p *policies) follows(room id.RoomID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, is := p.lists[room]
	return is
}

// see takes note of an event of a policy room. A rule is asked for anew, since events may come late, and it holds when see returns.
func (p *policies) see(ctx context.Context, evt *event.Event) {
	if !p.follows(evt.RoomID) {
		return
	}
	_, isPolicy := policyTypes[evt.Type.Type]
	switch {
	case evt.StateKey != nil && isPolicy:
		if err := p.readOne(ctx, evt); err == nil {
			p.ring()
			return
		}
	case evt.Type.Type == event.EventRedaction.Type:
	case evt.Type == event.StateMember && id.UserID(*evt.StateKey) == p.b.conn.Bot.UserID && evt.Content.AsMember().Membership != event.MembershipJoin:
		p.leave(evt.RoomID)
		return
	default:
		return
	}
	p.mu.Lock()
	p.unread[evt.RoomID] = true
	p.mu.Unlock()
	p.ring()
}

// readOne asks for the rule that an event has changed.
func (p *policies) readOne(ctx context.Context, evt *event.Event) error {
	var content map[string]any
	err := p.b.conn.Bot.StateEvent(ctx, evt.RoomID, evt.Type, *evt.StateKey, &content)
	if err != nil && !errors.Is(err, mautrix.MNotFound) {
		return err
	}
	key := [2]string{evt.Type.Type, *evt.StateKey}
	rule, ok := readPolicy(evt.Type.Type, content)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lists[evt.RoomID], key)
	if ok && len(p.lists[evt.RoomID]) < maxPolicyRules {
		p.lists[evt.RoomID][key] = rule
	}
	p.rules.Store(nil)
	return nil
}

// leave notes that the bot is in a policy room no longer. Its rules stay, and it is entered again.
func (p *policies) leave(room id.RoomID) {
	p.b.log.Warn().Stringer("room_id", room).Msg("the bot is in a policy room no longer; the rules stay as they were")
	p.mu.Lock()
	for name, its := range p.rooms {
		if its == room {
			delete(p.rooms, name)
		}
	}
	p.mu.Unlock()
	p.ring()
}

// run follows the policy rooms until ctx ends.
func (p *policies) run(ctx context.Context) {
	if !p.on() {
		return
	}
	for {
		good := p.refresh(ctx)
		if err := p.enforce(ctx); err != nil && ctx.Err() == nil {
			p.b.log.Err(err).Msg("enforce the policy lists")
			good = false
		}
		var after <-chan time.Time
		if !good {
			timer := time.NewTimer(policyRetry)
			after = timer.C
			defer timer.Stop()
		}
		select {
		case <-p.wake:
		case <-after:
		case <-ctx.Done():
			return
		}
	}
}

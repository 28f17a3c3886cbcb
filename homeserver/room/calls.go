package room

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// What says that somebody is in a call: a state event of clients so far, and the sticky event of MSC4143 by both of its names.
const (
	typeCallMemberState  = "org.matrix.msc3401.call.member"
	typeRTCMember        = "m.rtc.member"
	typeRTCMemberDrafted = "org.matrix.msc4143.rtc.member"
)

// callTypes are those that everybody may send in a new room whose creator says nothing else: who is in a call, that others are called and that
// they decline (MSC4143, MSC4075, MSC4310). The state event would take more otherwise, and the others would in a room where few may speak.
var callTypes = []string{
	typeCallMemberState, typeRTCMember, typeRTCMemberDrafted, "m.rtc.notification", "org.matrix.msc4075.rtc.notification", "m.rtc.decline",
	"org.matrix.msc4310.rtc.decline", "org.matrix.msc4075.call.notify",
}

// allowCalls has everybody be in calls, in the content of a new room's m.room.power_levels event, as far as its creator says nothing of them, and
// does not keep people from speaking.
func allowCalls(content map[string]any) {
	if level, ok := levelOf(content["events_default"]); !ok || level > event.DefaultEventsLevel {
		return
	}
	if level, ok := levelOf(content["state_default"]); !ok || level > event.DefaultStateLevel {
		return
	}
	events, ok := content["events"].(map[string]any)
	if !ok {
		raw, _ := content["events"].(json.RawMessage)
		if err := json.Unmarshal(raw, &events); err != nil || events == nil {
			return // what it is instead, the authorisation rules say
		}
		content["events"] = events
	}
	for _, eventType := range callTypes {
		if _, said := events[eventType]; !said {
			events[eventType] = 0
		}
	}
}

// levelOf reads a power level of a request, or of our own.
func levelOf(value any) (level int, ok bool) {
	if raw, given := value.(json.RawMessage); given {
		return level, json.Unmarshal(raw, &level) == nil
	}
	level, ok = value.(int)
	return level, ok
}

// CallAccess returns what a user may do in the calls of a room by what the room says: whether they are in it, and whether they may say that they
// are in a call, by the state event of older clients and by the sticky event of newer ones. A room that is not known is no error.
func (s *Service) CallAccess(ctx context.Context, roomID id.RoomID, user id.UserID) (joined, byState, bySticky bool, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		joined, byState, bySticky = false, false, false
		r, err := tx.Room(roomID)
		if err != nil {
			return err
		}
		m, err := tx.Membership(r.NID, user)
		if err != nil || m.Membership != event.MembershipJoin {
			return err
		}
		events, err := tx.StateOfRooms([]int64{r.NID}, []string{event.TypeCreate, event.TypePowerLevels})
		if err != nil {
			return err
		}
		state := make(eventauth.StateMap, len(events))
		for _, e := range events {
			state[eventauth.StateKey{Type: e.Type}] = e.PDU
		}
		level := eventauth.UserLevel(state, user)
		joined = true
		byState = level >= eventauth.RequiredLevel(state, typeCallMemberState, true)
		bySticky = level >= stickyCallLevel(state)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, false, false, nil
	}
	return joined, byState, bySticky, err
}

// Names returns what rooms are called: by m.room.name, or else by their canonical alias. Those that have neither, or are not known, are left out.
func (s *Service) Names(ctx context.Context, rooms []id.RoomID) (names map[id.RoomID]string, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		var known []store.DirectoryRoom
		for _, roomID := range rooms {
			r, err := tx.Room(roomID)
			switch {
			case errors.Is(err, store.ErrNotFound):
				continue
			case err != nil:
				return err
			}
			known = append(known, store.DirectoryRoom{NID: r.NID, RoomID: roomID})
		}
		entries, err := directoryEntries(tx, known)
		names = make(map[id.RoomID]string, len(entries))
		for _, e := range entries {
			if name := cmp.Or(strings.TrimSpace(e.Name), string(e.CanonicalAlias)); name != "" {
				names[e.RoomID] = name
			}
		}
		return err
	})
	return names, err
}

// stickyCallLevel is what it takes to be in a call by a sticky event: the highest level that the room has for one of the types. Whoever raises it
// for the state event, which is all that clients offer so far, means calls.
func stickyCallLevel(state eventauth.State) int64 {
	levels := eventauth.Levels(state)
	highest, found := int64(0), false
	for _, name := range []string{typeCallMemberState, typeRTCMember, typeRTCMemberDrafted} {
		if level, ok := levels.Events[name]; ok && (!found || level > highest) {
			highest, found = level, true
		}
	}
	if !found {
		return levels.EventsDefault
	}
	return highest
}

// endsCall tells whether a draft says that its sender is in a call no more, and nothing else.
func endsCall(d draft) bool {
	return d.Type == typeCallMemberState && d.StateKey != nil && string(bytes.TrimSpace(d.Content)) == "{}"
}

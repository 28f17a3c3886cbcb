package push

import (
	"encoding/json"
	"errors"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// person is a user of this server who may be notified.
type person struct {
	nid int64
	id  id.UserID
}

// facts is an event with what conditions ask of it and of its room. Each question is answered once for all people.
type facts struct {
	tx     *store.Tx
	event  *store.Event
	roster *roster
	steps  int // what is left of maxSteps to the person who is being judged

	texts map[string]property // by key

	mayKnown map[string]bool // by the key of sender_notification_permission
	power    eventauth.StateMap

	users map[string]bool // whom the event says that it mentions; nil before it was asked for

	inThread      followed // see thread
	inThreadKnown bool

	intentional      bool // the event says whom it mentions
	intentionalKnown bool
}

// value returns a property of the event as canonical JSON, or nil.
func (f *facts) value(p path) []byte {
	if len(p.names) == 1 {
		return f.top(p.names[0])
	}
	if p.names[0] != "content" {
		return nil // the other objects of an event are the servers' business
	}
	value := []byte(f.event.Content)
	for _, name := range p.names[1:] {
		f.steps -= len(value) / 16
		if value = event.Field(value, name); value == nil {
			return nil
		}
	}
	return value
}

// top returns a property of the event that is in no object.
func (f *facts) top(name string) []byte {
	if text, is := f.topText(name); is {
		raw, err := json.Marshal(text)
		if err != nil {
			return nil
		}
		return simpleValue(raw)
	}
	switch name {
	case "type", "sender", "state_key", "room_id", "event_id":
		return nil
	}
	return event.Field(f.event.JSON(), name)
}

// topText returns a property that is text and that every room version has, whether or not it is in the JSON.
func (f *facts) topText(name string) (string, bool) {
	switch name {
	case "type":
		return f.event.Type, true
	case "sender":
		return string(f.event.Sender), true
	case "state_key":
		if f.event.StateKey != nil {
			return *f.event.StateKey, true
		}
	case "room_id":
		return string(f.event.RoomID), true
	case "event_id":
		return string(f.event.EventID), true
	}
	return "", false
}

// text returns a property that is a string, in lower case.
func (f *facts) text(p path) (string, bool) {
	if known, is := f.texts[p.key]; is {
		return known.lower, known.is
	}
	text, is := "", false
	if len(p.names) == 1 {
		text, is = f.topText(p.names[0])
	}
	if !is {
		text, is = event.Text(f.value(p))
	}
	if f.texts == nil {
		f.texts = make(map[string]property)
	}
	f.texts[p.key] = property{strings.ToLower(text), is}
	return f.texts[p.key].lower, is
}

// property is a property of the event that is asked for as text.
type property struct {
	lower string
	is    bool
}

var bodyPath = newPath(bodyKey)

// body returns content.body in lower case, if it is text.
func (f *facts) body() (string, bool) { return f.text(bodyPath) }

var mentionsPath = newPath(`content.m\.mentions`)

// mentions tells whether the event says itself whom it mentions, so that nothing is to be guessed from its text. Client-Server API,
// "User and room mentions".
func (f *facts) mentions() bool {
	if !f.intentionalKnown {
		f.intentional, f.intentionalKnown = f.value(mentionsPath) != nil, true
	}
	return f.intentional
}

// followed is a thread and who follows it.
type followed struct {
	is        bool // the event is in a thread
	followers map[int64]bool
}

// thread returns the thread of the event. What is about a message of a thread is in the thread, too, as it is for receipts.
func (f *facts) thread() (*followed, error) {
	if f.inThreadKnown {
		return &f.inThread, nil
	}
	thread, err := f.tx.ThreadOf(f.event)
	if err != nil {
		return nil, err
	}
	if thread.ID != event.MainThread {
		users, err := f.tx.ThreadFollowers(f.event.RoomNID, thread.Root)
		if err != nil {
			return nil, err
		}
		f.inThread = followed{is: true, followers: make(map[int64]bool, len(users))}
		for _, nid := range users {
			f.inThread.followers[nid] = true
		}
	}
	f.inThreadKnown = true
	return &f.inThread, nil
}

// joined returns how many users are in the room.
func (f *facts) joined() (int64, error) { return f.roster.count(f.tx, f.event.RoomNID) }

// displayName returns the name of a person in the room, in lower case.
func (f *facts) displayName(p *person) (string, error) {
	return f.roster.displayName(f.tx, f.event.RoomNID, p)
}

// senderMay tells whether the sender has the power to notify the room as key says.
func (f *facts) senderMay(key string) (bool, error) {
	if may, known := f.mayKnown[key]; known {
		return may, nil
	}
	if f.power == nil {
		var found []*event.PDU
		for _, eventType := range [...]string{event.TypePowerLevels, event.TypeCreate} {
			e, err := f.tx.CurrentStateEvent(f.event.RoomNID, eventType, "")
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return false, err
			}
			if err == nil {
				found = append(found, e.PDU)
			}
		}
		f.power, f.mayKnown = eventauth.NewStateMap(found...), make(map[string]bool)
	}
	may := eventauth.CanNotify(f.power, f.event.Sender, key)
	f.mayKnown[key] = may
	return may, nil
}

package roomgen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// flawedEvents ends the room with one event of each flaw, each on the same extremities, and messages that build on some.
func (w *world) flawedEvents() error {
	user, _, err := w.talker(w.servers[0])
	if err != nil || user == "" {
		return err
	}
	s := w.serverOf(user)
	prev := slices.Clone(w.prevOf(w.servers[0]))
	forbidden, err := w.forbidden(user, prev)
	if err != nil {
		return err
	}
	for _, make := range []func() (int, error){
		func() (int, error) { return w.wrongHash(user, prev) },
		func() (int, error) { return w.badSignature(user, prev) },
		func() (int, error) { return w.missingAuth(user, prev) },
		func() (int, error) { return w.unknownAuth(user, prev) },
		func() (int, error) { return w.rejectedAuth(forbidden, prev) },
	} {
		i, err := make()
		if err != nil {
			return err
		}
		// That with the wrong hash stays in the room, and is built upon.
		w.tell(s, i)
	}
	if err := w.try(message(user, "after the flawed")); err != nil {
		return err
	}
	i, err := w.sendOn(message(user, "on a rejected event"), append(prev, forbidden))
	if errIsNot(err, errNotSent) {
		return err
	}
	if err == nil {
		w.tell(s, i)
	}
	return nil
}

// sitePast is the site of an event of user on prev, with its auth events, and the number of the state before it.
func (w *world) sitePast(d *draft, prev []int) (site, int, error) {
	before, err := w.stateBefore(prev)
	if err != nil {
		return site{}, 0, err
	}
	at := w.site(w.serverOf(d.sender), prev)
	at.auth, err = authEvents(w.room.Version, d, w.states[before])
	return at, before, err
}

// flawed builds d with change made to its site, and records it.
func (w *world) flawed(d *draft, prev []int, flaw Flaw, change func(*site)) (int, error) {
	at, before, err := w.sitePast(d, prev)
	if err != nil {
		return 0, err
	}
	change(&at)
	p, err := w.build(d, at)
	if err != nil {
		return 0, err
	}
	return w.record(w.serverOf(d.sender), p, before, flaw, true), nil
}

// forbidden makes user, who has joined, someone who names the room for another user: a thing that nobody may do. It is a membership
// event, so that other events can name it as an auth event.
func (w *world) forbidden(user id.UserID, prev []int) (int, error) {
	nobody := id.UserID("@nobody:" + event.ServerOf(user))
	return w.flawed(w.member(user, nobody, event.MembershipJoin), prev, Forbidden, func(*site) {})
}

// wrongHash is a message whose content was changed after its hash was made. What is signed does not cover it.
func (w *world) wrongHash(user id.UserID, prev []int) (int, error) {
	d := message(user, "the hash is of another text")
	at, before, err := w.sitePast(d, prev)
	if err != nil {
		return 0, err
	}
	p, err := w.build(d, at)
	if err != nil {
		return 0, err
	}
	changed := bytes.Replace(p.JSON(), []byte("another text"), []byte("some other text"), 1)
	if p, err = event.Parse(w.room.Version, changed); err != nil {
		return 0, err
	}
	return w.record(w.serverOf(user), p, before, WrongHash, false), nil
}

// badSignature is a message whose origin_server_ts was changed after it was signed, and its hash made anew.
func (w *world) badSignature(user id.UserID, prev []int) (int, error) {
	d := message(user, "the signature is of another event")
	at, before, err := w.sitePast(d, prev)
	if err != nil {
		return 0, err
	}
	signed, err := w.build(d, at)
	if err != nil {
		return 0, err
	}
	at.ts ^= 1
	other, err := w.build(d, at)
	if err != nil {
		return 0, err
	}
	var from, to map[string]json.RawMessage
	if err := json.Unmarshal(signed.JSON(), &from); err != nil {
		return 0, err
	}
	if err := json.Unmarshal(other.JSON(), &to); err != nil {
		return 0, err
	}
	to["signatures"] = from["signatures"]
	raw, err := json.Marshal(to)
	if err != nil {
		return 0, err
	}
	p, err := event.Parse(w.room.Version, raw)
	if err != nil {
		return 0, err
	}
	return w.record(w.serverOf(user), p, before, BadSignature, true), nil
}

// missingAuth is a message without its sender's membership among the auth events.
func (w *world) missingAuth(user id.UserID, prev []int) (int, error) {
	return w.flawed(message(user, "who am I?"), prev, MissingAuth, func(at *site) {
		at.auth = slices.DeleteFunc(at.auth, func(auth id.EventID) bool {
			return w.room.PDU(auth).IsStateOf(event.TypeMember, string(user))
		})
	})
}

// unknownAuth is a message that names power levels that nobody has seen.
func (w *world) unknownAuth(user id.UserID, prev []int) (int, error) {
	return w.flawed(message(user, "by a higher power"), prev, UnknownAuth, func(at *site) {
		at.auth = slices.DeleteFunc(at.auth, func(auth id.EventID) bool {
			return w.room.PDU(auth).IsStateOf(event.TypePowerLevels, "")
		})
		at.auth = append(at.auth, w.unknownID(user))
	})
}

// unknownID is the ID of an event that does not exist.
func (w *world) unknownID(user id.UserID) id.EventID {
	if w.room.Version.EventIDs == event.EventIDGiven {
		return id.EventID("$" + w.opaque() + ":" + event.ServerOf(user))
	}
	// The base64 of 32 bytes, in letters that both alphabets have.
	return id.EventID(fmt.Sprintf("$%s%026d%s", "Unknown", w.rng.IntN(1_000_000), "AAAAAAAAAA"))
}

// rejectedAuth is a message of the user whose membership was rejected, who names it.
func (w *world) rejectedAuth(forbidden int, prev []int) (int, error) {
	membership := w.room.Events[forbidden].PDU
	return w.flawed(message(id.UserID(*membership.StateKey), "I am here"), prev, RejectedAuth, func(at *site) {
		at.auth = append(at.auth, membership.EventID)
	})
}

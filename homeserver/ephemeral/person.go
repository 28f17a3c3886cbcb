package ephemeral

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxDevices bounds the devices of one user that are remembered for what they say of the user.
const maxDevices = 100

// stated is what others see of a person.
type stated struct{ state, message string }

// person is a user who is there, or has just been.
type person struct {
	user       id.UserID
	since      time.Time    // when they came into memory: what was before is known as of the last change alone
	lastActive atomic.Int64 // in milliseconds
	absent     atomic.Bool  // offline: activity is not to be known
	idle       atomic.Bool  // unavailable: activity ends it
	acted      atomic.Bool  // has been active while idle

	mu      sync.Mutex // guards what follows; held while a change is stored
	stated  stated
	loaded  bool
	gone    bool // not in memory any more
	hidden  bool // offline by the user's own word, though devices sync
	devices map[id.DeviceID]*deviceWord
	syncs   int       // requests that wait
	last    time.Time // when a request ended, or the user said something
	synced  bool      // devices sync, so that their silence means something
	timer   *time.Timer
}

// deviceWord is what a device says of its user.
type deviceWord struct {
	state string
	syncs int
	last  time.Time
}

func newPerson(user id.UserID) *person {
	now := time.Now()
	return &person{user: user, since: now, devices: make(map[id.DeviceID]*deviceWord), last: now}
}

// take takes over what is stored.
func (p *person) take(row store.Presence) {
	p.state(stated{cmp.Or(row.State, Offline), row.StatusMsg})
	p.lastActive.CompareAndSwap(0, row.LastActiveTS)
	p.loaded = true
}

// state makes to what others see.
func (p *person) state(to stated) {
	p.stated = to
	p.absent.Store(to.state == Offline)
	p.idle.Store(to.state == Unavailable)
	p.acted.Store(false)
}

// told is what becomes of the user's own word.
func (p *person) told(state string, message *string) stated {
	p.hidden, p.last = state == Offline, time.Now()
	if state == Online || state == Busy {
		p.lastActive.Store(p.last.UnixMilli())
	}
	to := stated{state, p.stated.message}
	if message != nil {
		to.message = *message
	}
	return to
}

// syncing is what becomes of what a device says while it syncs. A device that says the same as before says nothing new: it does not
// undo what the user, or the time that has passed, has said since.
func (p *person) syncing(device id.DeviceID, state string) stated {
	p.syncs++
	p.synced = true
	word := p.devices[device]
	news := word == nil || word.state != state
	if word == nil {
		p.forgetDevices()
		word = new(deviceWord)
		p.devices[device] = word
	}
	word.state = state
	word.syncs++
	to := p.stated
	switch {
	case p.stated.state == Busy, p.hidden && !(news && state == Online):
	case p.stated.state == Offline || news && state != Unavailable:
		to.state = state
	case news && !p.otherSays(device, Online):
		to.state = Unavailable
	}
	if to.state != p.stated.state {
		p.hidden = false
		if to.state == Online || to.state == Busy {
			p.lastActive.Store(time.Now().UnixMilli())
		}
	}
	return to
}

// otherSays tells whether another device that syncs says so.
func (p *person) otherSays(device id.DeviceID, state string) bool {
	for other, word := range p.devices {
		if other != device && word.state == state && word.here() {
			return true
		}
	}
	return false
}

func (w *deviceWord) here() bool { return w.syncs > 0 || time.Since(w.last) < offlineAfter }

func (p *person) forgetDevices() {
	for device, word := range p.devices {
		if len(p.devices) >= maxDevices || !word.here() {
			delete(p.devices, device)
		}
	}
}

// ended is the end of a device's request.
func (p *person) ended(device id.DeviceID) {
	p.syncs--
	p.last = time.Now()
	if word := p.devices[device]; word != nil {
		word.syncs--
		word.last = p.last
	}
}

// leaves returns when the user is taken for gone if nothing is heard of them; never while devices sync.
func (p *person) leaves() (at time.Time, ever bool) {
	if p.syncs > 0 {
		return time.Time{}, false
	}
	if p.synced {
		return p.last.Add(offlineAfter), true
	}
	return p.last.Add(silentAfter), true
}

// tires returns when the user is taken for idle if they do nothing.
func (p *person) tires() (at time.Time, ever bool) {
	if p.stated.state != Online {
		return time.Time{}, false
	}
	at = time.UnixMilli(p.lastActive.Load())
	if at.Before(p.since) {
		at = p.since
	}
	return at.Add(idleAfter), true
}

// deadline returns when something becomes of the user by itself.
func (p *person) deadline() (at time.Time, ever bool) {
	at, ever = p.leaves()
	if tires, tired := p.tires(); tired && (!ever || tires.Before(at)) {
		return tires, true
	}
	return at, ever
}

// passed is what becomes of the user by the time that has passed. gone tells that nothing is left to remember.
func (p *person) passed(now time.Time) (to stated, gone bool) {
	to = p.stated
	if at, ever := p.leaves(); ever && !now.Before(at) {
		to.state = Offline
		return to, true
	}
	if at, ever := p.tires(); ever && !now.Before(at) {
		to.state = Unavailable
	} else if p.acted.Swap(false) && p.stated.state == Unavailable {
		to.state = Online
	}
	return to, false
}

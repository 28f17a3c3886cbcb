package sender

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/registration"

	"maunium.net/go/mautrix/id"
)

// device is that of each account that a test makes.
const device = id.DeviceID("DEV")

// fullRegistration is ircRegistration of a service that wants all there is.
func fullRegistration(t testing.TB) *registration.Registration {
	reg := ircRegistration(t)
	reg.ReceiveEphemeral, reg.MSC3202 = true, true
	return reg
}

// ring says that something is new beside events.
func (h *house) ring() { h.bus.Publish(notify.Signal{Key: notify.Key{Kind: notify.User, NID: 1}}) }

// account makes an account with a device, by a service or, for "", by a person. It returns the user's integer.
func (h *house) account(user id.UserID, appService string) (nid int64) {
	h.t.Helper()
	h.write(func(tx *store.Tx) error {
		u := &store.User{UserID: user, AppService: appService, CreatedTS: 1}
		if err := tx.InsertUser(u); err != nil {
			return err
		}
		nid = u.NID
		return tx.EnsureDevice(nid, device, "", 1)
	})
	return nid
}

func (h *house) nid(tx *store.Tx, user id.UserID) int64 {
	nid, err := tx.NID(string(user))
	if err != nil {
		h.t.Fatal(err)
	}
	return nid
}

// keys gives a user's device identity keys and some one-time keys.
func (h *house) keys(user id.UserID, n int) {
	h.t.Helper()
	h.write(func(tx *store.Tx) error {
		nid := h.nid(tx, user)
		var keys []store.OneTimeKey
		for i := range n {
			keys = append(keys, store.OneTimeKey{KeyID: store.KeyID{Algorithm: "signed_curve25519", ID: string(rune('a' + i))}, JSON: json.RawMessage(`"k"`)})
		}
		_, err := tx.DevicesChanged(nid)
		return errFirst(tx.SetDeviceKeys(nid, device, []byte(`{}`)), tx.InsertOneTimeKeys(nid, device, keys), tx.CountKeys(nid, device, 0), err)
	})
	h.ring()
}

// claim takes a one-time key of a user.
func (h *house) claim(user id.UserID) {
	h.t.Helper()
	h.write(func(tx *store.Tx) error {
		nid := h.nid(tx, user)
		_, pos, err := tx.ClaimKey(nid, device, "signed_curve25519")
		if err != nil {
			return err
		}
		return tx.CountKeys(nid, device, pos)
	})
	h.ring()
}

// devicesChanged says that a user's devices are others.
func (h *house) devicesChanged(user id.UserID) {
	h.t.Helper()
	h.write(func(tx *store.Tx) error {
		_, err := tx.DevicesChanged(h.nid(tx, user))
		return err
	})
	h.ring()
}

// mail sends a message to a user's device.
func (h *house) mail(to id.UserID, text string) {
	h.t.Helper()
	content, _ := json.Marshal(map[string]string{"body": text})
	h.write(func(tx *store.Tx) error {
		_, err := tx.InsertToDevice(h.nid(tx, to), device, h.nid(tx, alice), "m.test", content, 1)
		return err
	})
	h.ring()
}

// waiting returns how many messages wait for a user's device.
func (h *house) waiting(user id.UserID) (n int) {
	h.t.Helper()
	h.write(func(tx *store.Tx) error {
		pos, err := tx.StreamPos()
		if err != nil {
			return err
		}
		all, err := tx.ToDeviceAfter(h.nid(tx, user), device, 0, pos, 1000)
		n = len(all)
		return err
	})
	return n
}

// read sets a receipt at an event.
func (r *testRoom) read(user id.UserID, receiptType, thread string, at id.EventID) {
	r.t.Helper()
	r.write(func(tx *store.Tx) error {
		e, err := tx.EventByID(at)
		if err != nil {
			return err
		}
		_, err = tx.SetReceipt(store.Receipt{RoomNID: r.nid, UserNID: r.house.nid(tx, user), Type: receiptType, Thread: thread, EventID: at, EventPos: e.Pos, TS: 5})
		return err
	})
	r.ring()
}

// presence says that a user is there.
func (h *house) presence(user id.UserID, state, message string) {
	h.t.Helper()
	h.write(func(tx *store.Tx) error {
		_, _, err := tx.SetPresence(user, store.Presence{State: state, StatusMsg: message, LastActiveTS: 1})
		return err
	})
	h.ring()
}

// typingBoard is who types, for tests.
type typingBoard struct {
	h      *house
	mu     sync.Mutex // guards all below
	serial int64
	rooms  map[int64][]id.UserID
	since  map[int64]int64
	lost   int64 // serials below are not known any more
}

func (h *house) board() *typingBoard {
	return &typingBoard{h: h, serial: 1, rooms: make(map[int64][]id.UserID), since: make(map[int64]int64)}
}

// types sets who types in a room.
func (b *typingBoard) types(r *testRoom, users ...id.UserID) {
	b.set(r.nid, users)
	b.h.ring()
}

func (b *typingBoard) set(nid int64, users []id.UserID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serial++
	b.rooms[nid], b.since[nid] = users, b.serial
}

// lose ends all typing in a room, and forgets what has changed.
func (b *typingBoard) lose(nid int64) {
	b.set(nid, nil)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = b.serial + 1
}

// TypingSince implements Live.
func (b *typingBoard) TypingSince(serial int64) (map[int64][]id.UserID, int64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if serial < b.lost {
		rooms := maps.Clone(b.rooms)
		maps.DeleteFunc(rooms, func(_ int64, users []id.UserID) bool { return len(users) == 0 })
		return rooms, b.serial, false
	}
	rooms := make(map[int64][]id.UserID)
	for nid, since := range b.since {
		if since > serial {
			rooms[nid] = b.rooms[nid]
		}
	}
	return rooms, b.serial, true
}

// LastActive implements Live.
func (b *typingBoard) LastActive(user id.UserID) int64 {
	if user == alice {
		return time.Now().UnixMilli()
	}
	return 0
}

// txnBody is what a transaction has, by the names of the specification; old is the same by the old names.
type txnBody struct {
	Events    []map[string]any `json:"events"`
	Ephemeral []map[string]any `json:"ephemeral"`
	ToDevice  []map[string]any `json:"to_device"`
	Lists     *struct {
		Changed, Left []string
	} `json:"device_lists"`
	Counts map[id.UserID]map[id.DeviceID]map[string]int `json:"device_one_time_keys_count"`
	Unused map[id.UserID]map[id.DeviceID][]string       `json:"device_unused_fallback_key_types"`
}

// parseTxn reads a transaction, whose old names must say what the new ones do.
func parseTxn(t *testing.T, body []byte) (txn txnBody) {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		t.Fatalf("transaction is no JSON: %v\n%s", err, body)
	}
	twins := map[string]string{
		"ephemeral": "de.sorunome.msc2409.ephemeral", "to_device": "de.sorunome.msc2409.to_device",
		"device_lists":                     "org.matrix.msc3202.device_lists",
		"device_one_time_keys_count":       "org.matrix.msc3202.device_one_time_keys_count",
		"device_unused_fallback_key_types": "org.matrix.msc3202.device_unused_fallback_key_types",
	}
	names := append(slices.Collect(maps.Keys(twins)), slices.Collect(maps.Values(twins))...)
	for name := range all {
		if name != "events" && !slices.Contains(names, name) {
			t.Errorf("transaction has a member %s", name)
		}
	}
	for name, old := range twins {
		if string(all[name]) != string(all[old]) {
			t.Errorf("%s is %s, but %s is %s", name, all[name], old, all[old])
		}
	}
	if err := json.Unmarshal(body, &txn); err != nil || txn.Events == nil {
		t.Fatalf("transaction is %s, %v", body, err)
	}
	return txn
}

// sent is all that some transactions had, in order.
type sent struct {
	ephemeral []string // JSON
	mail      []string // "user device text"
	changed   []string
	left      []string
	counts    map[id.UserID]int // of the newest
}

// until collects what is sent until a text.
func (s *service) until(t *testing.T, text string) sent {
	t.Helper()
	all := sent{counts: make(map[id.UserID]int)}
	for {
		r := s.next(t)
		txn := parseTxn(t, r.body)
		for _, e := range txn.Ephemeral {
			if content, ok := e["content"].(map[string]any); ok {
				delete(content, "last_active_ago")
			}
			all.ephemeral = append(all.ephemeral, asJSON(e))
		}
		for _, m := range txn.ToDevice {
			body, _ := m["content"].(map[string]any)["body"].(string)
			all.mail = append(all.mail, m["to_user_id"].(string)+" "+m["to_device_id"].(string)+" "+body)
			if m["sender"] != string(alice) || m["type"] != "m.test" {
				t.Errorf("message is %v", m)
			}
		}
		if txn.Lists != nil {
			all.changed, all.left = append(all.changed, txn.Lists.Changed...), append(all.left, txn.Lists.Left...)
		}
		for user, devices := range txn.Counts {
			all.counts[user] = devices[device]["signed_curve25519"]
			if txn.Unused[user][device] == nil {
				t.Errorf("there are counts, but no unused fallback keys of %s: %s", user, r.body)
			}
		}
		if slices.Contains(r.events(t), text) {
			return all
		}
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s is\n%q, want\n%q", what, got, want)
	}
}

// streamPos returns where the stream is.
func (h *house) streamPos() (pos int64) {
	h.t.Helper()
	h.write(func(tx *store.Tx) (err error) {
		pos, err = tx.StreamPos()
		return err
	})
	return pos
}

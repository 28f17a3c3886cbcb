package bridges_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/bridges"
	"causeway/bridges/bridgetest"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"
)

const loopAlias = "#loop_chat:" + testserver.Name

// member is an m.room.member or m.room.message event, as far as it matters here.
type member struct {
	Type     string    `json:"type"`
	Sender   id.UserID `json:"sender"`
	StateKey id.UserID `json:"state_key"`
	Content  struct {
		Membership string `json:"membership"`
		Body       string `json:"body"`
	} `json:"content"`
}

// populated makes a portal with alice and ghosts in it, and an alias.
func (h *house) populated(ghosts ...networkid.UserID) (alice testserver.User, room id.RoomID) {
	h.t.Helper()
	alice = h.hs.Register("alice")
	room, err := h.bridge.OpenPortal(h.t.Context(), alice.ID, "chat")
	if err != nil {
		h.t.Fatal(err)
	}
	h.hs.OK("POST", "/_matrix/client/v3/join/"+url.PathEscape(string(room)), alice.Token, map[string]any{}, nil)
	if err := h.bridge.AddAlias(h.t.Context(), loopAlias, room); err != nil {
		h.t.Fatal(err)
	}
	for i, ghost := range ghosts {
		h.bridge.Remote("chat", ghost, networkid.MessageID(fmt.Sprint("m", i)), "hello")
	}
	h.until("the ghosts are there", func() bool { return len(h.joined(alice, room)) == len(ghosts)+2 })
	return alice, room
}

// until looks again and again.
func (h *house) until(what string, is func() bool) {
	h.t.Helper()
	after := time.After(bridgetest.Patience)
	for !is() {
		select {
		case <-after:
			h.t.Fatal("it does not come to it that ", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// isDone says whether there is no room to be unbridged.
func (h *house) isDone() bool {
	count, err := h.bridge.Count(h.t.Context(), "host_unbridge")
	return err == nil && count == 0
}

func (h *house) joined(user testserver.User, room id.RoomID) (users []id.UserID) {
	h.t.Helper()
	var out struct {
		Joined map[id.UserID]any `json:"joined"`
	}
	h.hs.OK("GET", "/_matrix/client/v3/rooms/"+url.PathEscape(string(room))+"/joined_members", user.Token, nil, &out)
	for user := range out.Joined {
		users = append(users, user)
	}
	return users
}

// history returns what has happened in a room, the newest last.
func (h *house) history(user testserver.User, room id.RoomID) []member {
	h.t.Helper()
	var out struct {
		Chunk []member `json:"chunk"`
	}
	h.hs.OK("GET", "/_matrix/client/v3/rooms/"+url.PathEscape(string(room))+"/messages?dir=b&limit=100", user.Token, nil, &out)
	slices.Reverse(out.Chunk)
	return out.Chunk
}

func (h *house) resolves(alias string) bool {
	a := h.hs.Do("GET", "/_matrix/client/v3/directory/room/"+url.PathEscape(alias), "", nil)
	return a.Status == http.StatusOK
}

// checkUnbridged looks whether a room has been left in order, and told so once.
func (h *house) checkUnbridged(alice testserver.User, room id.RoomID, ghosts int) {
	h.t.Helper()
	if got := h.joined(alice, room); !slices.Equal(got, []id.UserID{alice.ID}) {
		h.t.Errorf("%s are left", got)
	}
	var gone []id.UserID
	notices := 0
	for _, e := range h.history(alice, room) {
		if e.Content.Membership == "leave" {
			gone = append(gone, e.StateKey)
		}
		if strings.Contains(e.Content.Body, "no longer bridged to Loop: a test") {
			notices++
			if len(gone) > 0 {
				h.t.Error("the room is told when somebody has left already")
			}
		}
	}
	if len(gone) != ghosts+1 || gone[ghosts] != h.bridge.Bot() {
		h.t.Errorf("%s left, want %d ghosts and then the bot", gone, ghosts)
	}
	if notices != 1 {
		h.t.Errorf("the room was told %d times", notices)
	}
	if h.resolves(loopAlias) {
		h.t.Error("the alias still points to the room")
	}
	if h.bridge.HasPortal(h.t.Context(), room) {
		h.t.Error("the portal is still there")
	}
}

// The bridge leaves a room in order when it dies after the first request, then after the second, and so on.
func TestUnbridgeSurvives(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		alice, room := h.populated("bob", "carol", "dave")
		h.bridge.HastenUnbridging()
		lives := 0
		isCut := h.line.cutAfter("/rooms/"+string(room), 1)
		if err := h.bridge.Unbridge(t.Context(), room, "a test"); err != nil {
			t.Fatal(err)
		}
		for over := false; !over; {
			h.until("the life ends", func() bool {
				select {
				case <-isCut:
					return true
				default:
					over = h.isDone()
					return over
				}
			})
			if over {
				break
			}
			lives++
			h.stop()
			h.line.mend()
			h.open()
			h.bridge.HastenUnbridging()
			isCut = h.line.cutAfter("/rooms/"+string(room), lives+1)
			h.run()
		}
		if lives < 3 {
			t.Errorf("it died %d times only", lives)
		}
		h.line.mend()
		h.checkUnbridged(alice, room, 3)
	})
}

// The bot's command is for those who may say that the room is bridged.
func TestUnbridgeCommand(t *testing.T) {
	h := newHouse(t, storetest.New(t))
	alice, room := h.populated("bob")
	h.bridge.HastenUnbridging()
	say := func(txn string) {
		t.Helper()
		h.hs.OK("PUT", "/_matrix/client/v3/rooms/"+url.PathEscape(string(room))+"/send/m.room.message/"+txn, alice.Token,
			map[string]any{"msgtype": "m.text", "body": "!loop unbridge"}, nil)
	}
	say("1")
	h.until("it is refused", func() bool {
		return slices.ContainsFunc(h.history(alice, room), func(e member) bool {
			return e.Sender == h.bridge.Bot() && strings.Contains(e.Content.Body, "requires room admin rights")
		})
	})
	if inside, err := h.bridge.IsIn(t.Context(), room); err != nil || !inside {
		t.Errorf("the bridge is in the room: %v, %v", inside, err)
	}
	if err := h.bridge.SetPower(t.Context(), room, alice.ID, 100); err != nil {
		t.Fatal(err)
	}
	say("2")
	h.until("nobody else is there", func() bool { return len(h.joined(alice, room)) == 1 })
	h.until("it is done", h.isDone)
	if inside, err := h.bridge.IsIn(t.Context(), room); err != nil || inside {
		t.Errorf("the bridge is in the room: %v, %v", inside, err)
	}
}

// A room that everybody has left is left by the bridge, too, but not before its time, and not when somebody comes back.
func TestReaper(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db, func(h *house) {
			h.reap = bridges.Reaper{Schedule: "0 0 1 1 *", After: time.Hour}
		})
		h.bridge.HastenUnbridging()
		alice, room := h.populated("bob")
		path := "/_matrix/client/v3/rooms/" + url.PathEscape(string(room))
		now := time.Now()
		reap := func(after time.Duration, deserted int) {
			t.Helper()
			if err := h.bridge.Reap(t.Context(), now.Add(after)); err != nil {
				t.Fatal(err)
			}
			if count, err := h.bridge.Count(t.Context(), "host_deserted"); err != nil || count != deserted {
				t.Errorf("%d rooms are deserted, want %d; %v", count, deserted, err)
			}
			if !h.bridge.HasPortal(t.Context(), room) {
				t.Error("the portal is gone")
			}
		}
		reap(0, 0)
		h.hs.OK("POST", path+"/leave", alice.Token, map[string]any{}, nil)
		reap(0, 1)
		reap(59*time.Minute, 1)
		if err := h.bridge.Invite(t.Context(), room, alice.ID); err != nil {
			t.Fatal(err)
		}
		h.hs.OK("POST", "/_matrix/client/v3/join/"+url.PathEscape(loopAlias), alice.Token, map[string]any{}, nil)
		reap(2*time.Hour, 0)
		h.hs.OK("POST", path+"/leave", alice.Token, map[string]any{}, nil)
		reap(3*time.Hour, 1)
		if err := h.bridge.Reap(t.Context(), now.Add(4*time.Hour)); err != nil {
			t.Fatal(err)
		}
		h.until("the room is left", h.isDone)
		if h.resolves(loopAlias) || h.bridge.HasPortal(t.Context(), room) {
			t.Error("the alias or the portal is still there")
		}
		if count, err := h.bridge.Count(t.Context(), "host_deserted"); err != nil || count != 0 {
			t.Errorf("%d rooms are deserted, %v", count, err)
		}
	})
}

func TestReaperOptions(t *testing.T) {
	for want, reaper := range map[string]bridges.Reaper{
		"":         bridges.DefaultReaper(),
		"schedule": {Schedule: "at night", After: time.Hour},
		"after":    {Schedule: "45 4 * * *"},
	} {
		if err := reaper.Validate(); fmt.Sprint(err) != "<nil>" && want == "" || want != "" && !strings.HasPrefix(fmt.Sprint(err), want+": ") {
			t.Errorf("got %v, want it to name %q", err, want)
		}
	}
}

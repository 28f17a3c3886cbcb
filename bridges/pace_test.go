package bridges

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"causeway/bridges/bridgetest"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"
)

// departures notes the requests by which a bridge goes out of rooms, and when they came.
type departures struct {
	bot id.UserID

	mu    sync.Mutex // guards what follows
	rooms map[string][]string
	times []time.Time // of ghosts, in all rooms
}

func (d *departures) note(r *http.Request) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	path, err := url.PathUnescape(r.URL.EscapedPath())
	if err != nil {
		return http.StatusBadRequest
	}
	user := id.UserID(r.URL.Query().Get("user_id"))
	if room, is := strings.CutSuffix(path, "/leave"); is {
		room = room[strings.LastIndex(room, "/")+1:]
		what := "bot"
		if user != "" && user != d.bot {
			what = "ghost"
			d.times = append(d.times, time.Now())
		}
		d.rooms[room] = append(d.rooms[room], what)
	}
	if alias, is := strings.CutPrefix(path, "/_matrix/client/v3/directory/room/"); is && r.Method == http.MethodDelete {
		d.rooms[alias] = append(d.rooms[alias], "alias")
	}
	return 0
}

// end stops a bridge with all that bridgev2 leaves running.
func end(w *world) {
	login := w.v2.GetCachedUserLoginByID(loopLogin)
	w.stop()
	if login != nil {
		login.BridgeState.Destroy()
	}
}

// Two rooms are left at the pace of one: ghosts go one after the other with a pause in between, then the bot, then the aliases.
func TestUnbridgePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ghosts = 4
		hs := bridgetest.NewHomeserver(t, "hs.test")
		w := startWorld(t, hs, t.TempDir(), nil)
		defer end(w)
		var rooms []id.RoomID
		for _, name := range []networkid.PortalID{"one", "two"} {
			room := w.portal(t, name)
			rooms = append(rooms, room)
			alias := id.RoomAlias("#loop_" + string(name) + ":hs.test")
			if err := w.AddAlias(t.Context(), alias, room); err != nil {
				t.Fatal(err)
			}
			for n := range ghosts {
				w.remote(name, networkid.UserID(fmt.Sprint(name, n)), networkid.MessageID(fmt.Sprint(name, n)), "hello")
			}
			hs.Await("the ghosts", func() bool {
				return len(hs.Events(func(e *bridgetest.Event) bool { return e.Room == room && e.Text() == "hello" })) == ghosts
			})
		}
		seen := &departures{bot: w.Bot(), rooms: map[string][]string{}}
		hs.Fault = seen.note
		begun := time.Now()
		for _, room := range rooms {
			if err := w.Unbridge(t.Context(), room, "a test"); err != nil {
				t.Fatal(err)
			}
		}
		for left := 1; left > 0; { // of which the homeserver hears nothing
			time.Sleep(leavePause / 10)
			var err error
			if left, err = w.Count(t.Context(), "host_unbridge"); err != nil || time.Since(begun) > time.Hour {
				t.Fatalf("%d rooms are not left, %v", left, err)
			}
		}
		seen.mu.Lock()
		defer seen.mu.Unlock()
		if len(seen.times) != 2*ghosts {
			t.Errorf("%d ghosts left, want %d", len(seen.times), 2*ghosts)
		}
		before := begun
		for n, at := range seen.times {
			if pause := at.Sub(before); pause < leavePause/2 {
				t.Errorf("ghost %d left %v after the one before", n, pause)
			}
			before = at
		}
		if took := time.Since(begun); took > 2*(ghosts+3)*leavePause*3/2 {
			t.Errorf("it took %v", took)
		}
		for i, room := range rooms {
			got := slices.Concat(seen.rooms[string(room)], seen.rooms[fmt.Sprintf("#loop_%s:hs.test", []string{"one", "two"}[i])])
			if want := []string{"ghost", "ghost", "ghost", "ghost", "bot", "alias"}; !slices.Equal(got, want) {
				t.Errorf("in %s there left %q, want %q", room, got, want)
			}
		}
	})
}

// The reaper looks at the times of its schedule, and goes once nobody was there for long enough.
func TestReaperSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hs := bridgetest.NewHomeserver(t, "hs.test")
		w := startWith(t, hs, t.TempDir(), func(o *Options) {
			o.Reaper = Reaper{Schedule: "*/10 * * * *", After: 15 * time.Minute}
		}, nil)
		defer end(w)
		room := w.portal(t, "chat")
		deserted := func() int {
			count, err := w.Count(t.Context(), "host_deserted")
			if err != nil {
				t.Fatal(err)
			}
			return count
		}
		next := func() { // lets it look once
			time.Sleep(time.Until(time.Now().Truncate(10 * time.Minute).Add(10*time.Minute + 30*time.Second)))
			synctest.Wait()
		}
		next()
		if got := deserted(); got != 0 {
			t.Errorf("with alice in it, %d rooms are deserted", got)
		}
		hs.SetMember(w.alice, room, w.alice, "leave", "")
		for look, portal := range []bool{true, true, false} {
			next()
			if got := w.HasPortal(t.Context(), room); got != portal {
				t.Errorf("after look %d the portal is there: %v", look+1, got)
			}
			if got := deserted(); portal && got != 1 {
				t.Errorf("after look %d, %d rooms are deserted", look+1, got)
			}
		}
	})
}

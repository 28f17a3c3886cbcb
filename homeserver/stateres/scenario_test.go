package stateres_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/stateres"
)

// ev is an event of a room made by hand. Its name is its event ID without the sigil, and where auth names events it does so by their
// names. The auth events of version 12 are those of the others without the create event.
type ev struct {
	name, sender, evType, key, content string
	ts                                 int64
	auth                               string // names, in the order of the room
}

func member(name, sender, target, membership string, ts int64, auth string) ev {
	return ev{name, sender, event.TypeMember, "@" + target + ":here", `{"membership":"` + membership + `"}`, ts, auth}
}

// topic is some state that authorises nothing.
func topic(name, sender string, ts int64, auth string) ev {
	return ev{name, sender, "m.room.topic", "", `{"topic":"` + name + `"}`, ts, auth}
}

func joinRule(name, sender, rule string, ts int64, auth string) ev {
	return ev{name, sender, event.TypeJoinRules, "", `{"join_rule":"` + rule + `"}`, ts, auth}
}

// levels takes "bob 50, carol 100".
func levels(name, sender, users string, ts int64, auth string) ev {
	return ev{name, sender, event.TypePowerLevels, "", users, ts, auth}
}

// levelsContent leaves alice out where creators have no level.
func levelsContent(v *event.RoomVersion, users string) string {
	var list []string
	for user := range strings.SplitSeq(users, ", ") {
		who, level, ok := strings.Cut(user, " ")
		if ok && (who != "alice" || !v.PrivilegedCreators) {
			list = append(list, `"@`+who+`:here":`+level)
		}
	}
	return `{"users":{` + strings.Join(list, ",") + `}}`
}

// drawn is a room made of ev.
type drawn struct {
	t       *testing.T
	version *event.RoomVersion
	nids    map[string]int64
	events  map[int64]*stateres.Event
	auth    map[int64][]int64
	texts   map[string]int64
}

func draw(t *testing.T, version string, list []ev) *drawn {
	t.Helper()
	v, err := event.LookupVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	d := &drawn{t, v, map[string]int64{}, map[int64]*stateres.Event{}, map[int64][]int64{}, map[string]int64{}}
	roomID := id.RoomID("!room:here")
	if v.RoomIDIsCreateHash {
		roomID = "!create"
	}
	for i, e := range list {
		if e.evType == event.TypePowerLevels {
			e.content = levelsContent(v, e.content)
		}
		content, err := v.Canonical([]byte(e.content))
		if err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		p := &event.PDU{
			Version: v, EventID: id.EventID("$" + e.name), RoomID: roomID, Sender: id.UserID("@" + e.sender + ":here"), Type: e.evType,
			StateKey: &e.key, Content: json.RawMessage(content), Depth: int64(i), OriginServerTS: e.ts,
		}
		switch i {
		case 0: // the create event
		case 1: // the creator's join, which is allowed for that
			p.PrevEvents = []id.EventID{"$create"}
		default:
			p.PrevEvents = []id.EventID{"$elsewhere"}
		}
		nid := int64(10 * (i + 1))
		d.nids[e.name] = nid
		d.auth[nid] = []int64{}
		for name := range strings.FieldsSeq(e.auth) {
			if v.RoomIDIsCreateHash && name == "create" {
				continue
			}
			if d.nids[name] == 0 {
				t.Fatalf("%s names %s, which is not there yet", e.name, name)
			}
			d.auth[nid] = append(d.auth[nid], d.nids[name])
			p.AuthEvents = append(p.AuthEvents, id.EventID("$"+name))
		}
		d.events[nid] = &stateres.Event{ID: nid, PDU: p, Place: stateres.Place{Type: d.text(e.evType), Key: d.text(e.key)}}
	}
	return d
}

func (d *drawn) text(s string) int64 {
	if d.texts[s] == 0 {
		d.texts[s] = int64(len(d.texts) + 1)
	}
	return d.texts[s]
}

func (d *drawn) set(names string) stateres.Set {
	d.t.Helper()
	s := stateres.Set{}
	for name := range strings.FieldsSeq(names) {
		nid := d.nids[name]
		if nid == 0 {
			d.t.Fatalf("no event is called %s", name)
		}
		s[d.events[nid].Place] = nid
	}
	return s
}

// resolve returns the names of what the state of the sets holds, sorted.
func (d *drawn) resolve(sets ...string) string {
	d.t.Helper()
	p := &stateres.Problem{
		Version: d.version, Auth: d.auth, Events: d.events,
		Place: func(k eventauth.StateKey) (stateres.Place, bool) {
			place := stateres.Place{Type: d.texts[k.Type], Key: d.texts[k.Key]}
			return place, place.Type != 0 && place.Key != 0
		},
	}
	for _, names := range sets {
		p.Sets = append(p.Sets, d.set(names))
	}
	got, err := p.Resolve()
	if err != nil {
		d.t.Fatal(err)
	}
	var names []string
	for _, nid := range got {
		names = append(names, string(d.events[nid].PDU.EventID[1:]))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// scenario is a room, the states of two or more branches, and what they resolve to. A name in a state takes the place of those
// before it.
type scenario struct {
	name     string
	versions string // "2 11 12"
	more     []ev   // after founded
	common   string // what all states begin with
	sets     []string
	want     string // besides common
	rejected string // the names of events that were rejected
}

// founded is how the rooms begin: alice is the creator, bob is a moderator, carol and dave are members, erin is not, and the room is
// public.
func founded() []ev {
	return []ev{
		{"create", "alice", event.TypeCreate, "", `{"creator":"@alice:here"}`, 1, ""},
		member("alice", "alice", "alice", "join", 2, "create"),
		levels("levels", "alice", "bob 50, alice 100", 3, "create alice"),
		joinRule("public", "alice", "public", 4, "create alice levels"),
		member("bob", "bob", "bob", "join", 5, "create levels public"),
		member("carol", "carol", "carol", "join", 6, "create levels public"),
		member("dave", "dave", "dave", "join", 7, "create levels public"),
		topic("topic", "alice", 8, "create alice levels"),
	}
}

const all = "create alice levels public bob carol dave topic"

func runScenarios(t *testing.T, list []scenario) {
	t.Helper()
	for _, s := range list {
		for version := range strings.FieldsSeq(s.versions) {
			t.Run(s.name+" in version "+version, func(t *testing.T) {
				d := draw(t, version, append(founded(), s.more...))
				for name := range strings.FieldsSeq(s.rejected) {
					d.events[d.nids[name]].Rejected = true
				}
				var sets []string
				for _, set := range s.sets {
					sets = append(sets, s.common+" "+set)
				}
				want := strings.Fields(s.common + " " + s.want)
				slices.Sort(want)
				if got := d.resolve(sets...); got != strings.Join(want, " ") {
					t.Errorf("got  %s\nwant %s", got, strings.Join(want, " "))
				}
				slices.Reverse(sets)
				if got := d.resolve(sets...); got != strings.Join(want, " ") {
					t.Errorf("in reverse order: got  %s\nwant %s", got, strings.Join(want, " "))
				}
			})
		}
	}
}

// TestPower is about who wins: the order of power events.
func TestPower(t *testing.T) {
	runScenarios(t, []scenario{{
		name: "a ban by a stronger user takes back what the banned one did", versions: "2 6 11 12",
		common: "create alice public carol dave topic",
		more: []ev{
			levels("carolrises", "bob", "alice 100, bob 50, carol 50", 20, "create bob levels"),
			member("bobbanned", "alice", "bob", "ban", 30, "create alice levels bob"),
		},
		sets: []string{"bob carolrises", "bobbanned levels"}, want: "bobbanned levels",
	}, {
		name: "a demotion takes back a topic", versions: "2 6 11 12", common: "create alice public bob carol dave",
		more: []ev{
			topic("bobs", "bob", 20, "create bob levels"),
			levels("bobfalls", "alice", "bob 0, alice 100", 30, "create alice levels"),
		},
		sets: []string{"levels bobs", "bobfalls topic"}, want: "bobfalls topic",
	}, {
		name: "of equals who ban each other the first wins", versions: "2 6 11", common: "create alice public dave topic",
		more: []ev{
			levels("equals", "alice", "alice 100, bob 50, carol 50, dave 100", 10, "create alice levels"),
			levels("peers", "dave", "alice 100, bob 60, carol 60, dave 100", 11, "create dave equals"),
			member("late", "dave", "carol", "ban", 22, "create dave peers carol"),
			member("early", "alice", "bob", "ban", 21, "create alice peers bob"),
		},
		sets: []string{"peers bob late", "peers early carol"}, want: "peers early late",
	}, {
		name: "the stronger of two admins wins, though later", versions: "2 6 11 12", common: "create alice public bob carol dave topic",
		more: []ev{
			levels("two", "alice", "alice 100, dave 90", 10, "create alice levels"),
			levels("againstdave", "alice", "alice 100", 30, "create alice two"),
			levels("forcarol", "dave", "alice 100, dave 90, carol 90", 20, "create dave two"),
		},
		sets: []string{"againstdave", "forcarol"}, want: "againstdave",
	}, {
		name: "of equals who allow each other's change the last wins", versions: "2 6 11", common: "create alice opened bob carol dave topic",
		more: []ev{
			levels("two", "alice", "alice 100, dave 100", 10, "create alice levels"),
			joinRule("opened", "dave", "public", 11, "create dave two"), // so that dave is in both auth chains
			levels("first", "dave", "alice 100, dave 100, bob 60", 20, "create dave two"),
			levels("second", "alice", "alice 100, dave 100, bob 70", 30, "create alice two"),
		},
		sets: []string{"second", "first"}, want: "second",
	}, {
		name: "a membership that all agree on is not weighed again", versions: "2 6 11", common: "create alice public bob carol dave topic",
		more: []ev{
			levels("two", "alice", "alice 100, dave 100", 10, "create alice levels"),
			levels("first", "dave", "alice 100, dave 100, bob 60", 20, "create dave two"),
			levels("second", "alice", "alice 100, dave 100, bob 70", 30, "create alice two"),
		},
		sets: []string{"second", "first"}, want: "second",
	}, {
		name: "a join is taken back by join rules that it did not see", versions: "2 6 11 12", common: "create alice levels bob carol dave topic",
		more: []ev{
			joinRule("invite", "alice", "invite", 20, "create alice levels"),
			member("erin", "erin", "erin", "join", 30, "create levels public"),
		},
		sets: []string{"invite", "public erin"}, want: "invite",
	}, {
		name: "a creator is stronger than any level", versions: "12", common: "create alice public bob carol dave topic",
		more: []ev{
			levels("highest", "alice", "dave 9007199254740991", 10, "create alice levels"),
			levels("his", "dave", "dave 9007199254740991, carol 100", 20, "create dave highest"),
			levels("hers", "alice", "", 30, "create alice highest"),
		},
		sets: []string{"his", "hers"}, want: "hers",
	}, {
		name: "an event comes after its auth events, whatever the power of their senders", versions: "2 6 11 12",
		common: "create alice public bob dave topic",
		more: []ev{
			levels("carolrises", "bob", "alice 100, bob 50, carol 50", 20, "create bob levels"),
			member("davekicked", "carol", "dave", "leave", 21, "create carol carolrises dave"),
			member("carolagain", "carol", "carol", "join", 22, "create carolrises public carol"),
		},
		sets: []string{"levels carol", "carolrises carolagain"}, want: "carolrises carolagain",
	}})
}

// TestOrdinary is about what is no power event: the mainline, clocks and ids.
func TestOrdinary(t *testing.T) {
	steps := []ev{
		levels("second", "alice", "bob 50, alice 100, carol 50", 10, "create alice levels"),
		topic("old", "bob", 9000, "create bob levels"),
		topic("new", "carol", 20, "create carol second"),
		topic("older", "bob", 100, "create bob levels"),
		topic("same1", "bob", 500, "create bob second"),
		topic("same2", "carol", 500, "create carol second"),
	}
	runScenarios(t, []scenario{{
		name: "the newer levels win over the later clock", versions: "2 6 11", more: steps, common: "create alice public bob carol dave",
		sets: []string{"levels old", "second new"}, want: "second new",
	}, {
		name: "with the same levels the later clock wins", versions: "2 6 11 12", more: steps, common: "create alice public bob carol dave levels",
		sets: []string{"older", "old"}, want: "old",
	}, {
		name: "at the same time the greater id wins", versions: "2 6 11 12", more: steps, common: "create alice public bob carol dave second",
		sets: []string{"same2", "same1"}, want: "same2",
	}, {
		name: "what only some states have is authorised again", versions: "2 6 11 12", more: []ev{
			topic("bobs", "bob", 20, "create bob levels"),
			topic("daves", "dave", 21, "create dave levels"),
		}, common: "create alice public bob carol dave levels",
		sets: []string{"", "bobs"}, want: "bobs",
	}, {
		name: "what is not allowed does not win, though nothing else is there", versions: "2 6 11 12", more: []ev{
			topic("daves", "dave", 21, "create dave levels"),
		}, common: "create alice public bob carol dave levels",
		sets: []string{"", "daves"}, want: "",
	}, {
		name: "three branches", versions: "2 6 11 12", more: steps, common: "create alice public bob carol dave second",
		sets: []string{"older", "same1", "new"}, want: "same1",
	}, {
		name: "the states do not agree on the create event", versions: "12", common: "alice public bob carol dave levels topic",
		sets: []string{"create", ""}, want: "create",
	}, {
		name: "a state that holds nothing", versions: "2 6 11 12", sets: []string{all, ""}, want: all,
	}, {
		name: "without a create event nothing that is in conflict stays", versions: "2 6 11", common: "alice public bob carol dave levels",
		more: []ev{topic("lost1", "alice", 20, "alice levels"), topic("lost2", "alice", 21, "alice levels")},
		sets: []string{"lost1", "lost2"}, want: "",
	}})
}

// TestRejected is about events that were rejected.
func TestRejected(t *testing.T) {
	runScenarios(t, []scenario{{
		name: "a rejected auth event authorises nothing", versions: "2 6 11 12", common: "create alice levels bob carol dave topic",
		more: []ev{
			joinRule("forged", "alice", "public", 20, "create alice levels"),
			joinRule("invite", "alice", "invite", 21, "create alice levels"),
			member("erin", "erin", "erin", "join", 30, "create levels forged"),
		},
		rejected: "forged", sets: []string{"invite", "invite erin"}, want: "invite",
	}, {
		name: "a rejected event does not win", versions: "2 6 11 12", common: "create alice levels public bob carol dave",
		more:     []ev{topic("later", "alice", 20, "create alice levels")},
		rejected: "later", sets: []string{"topic", "later"}, want: "topic",
	}})
}

// TestStateResets are the examples of MSC4297. They reset the state in version 2, and do not in version 2.1.
func TestStateResets(t *testing.T) {
	// Problem A: both states say that alice has left, and one has forgotten the join rules that she set before.
	a := []ev{
		joinRule("invite", "alice", "invite", 10, "create alice levels"),
		member("aliceleft", "alice", "alice", "leave", 11, "create alice levels"),
		member("bob2", "bob", "bob", "join", 12, "create bob levels invite"),
		member("carol2", "carol", "carol", "join", 13, "create carol levels invite"),
	}
	stateA := scenario{common: "create levels dave topic aliceleft", more: a, sets: []string{"invite bob2 carol", "public bob carol2"}}
	// Problem B: one state has forgotten two steps of the levels, each of which the next depends on; its events name the last.
	b := []ev{
		levels("bobrises", "alice", "alice 100, bob 100", 10, "create alice levels"),
		levels("carolrises", "bob", "alice 100, bob 100, carol 50", 11, "create bob bobrises"),
		member("dave2", "dave", "dave", "join", 12, "create dave carolrises public"),
		member("carol2", "carol", "carol", "join", 13, "create carol carolrises public"),
	}
	stateB := scenario{common: "create alice public bob topic", more: b, sets: []string{"levels dave2 carol", "carolrises dave carol2"}}
	with := func(s scenario, name, versions, want string) scenario {
		s.name, s.versions, s.want = name, versions, want
		return s
	}
	runScenarios(t, []scenario{
		with(stateA, "problem A", "2 6 11", "bob2 carol2"), // the room has no join rules
		with(stateA, "problem A", "12", "invite bob2 carol2"),
		with(stateB, "problem B", "2 6 11", "levels dave2 carol2"),
		with(stateB, "problem B", "12", "carolrises dave2 carol2"),
	})
}

// TestVersion1 is about depth, which is the number of the event in the room, and nothing of what came later.
func TestVersion1(t *testing.T) {
	runScenarios(t, []scenario{{
		name: "the deepest wins, whatever the clock says", versions: "1", common: "create alice levels public bob carol dave",
		more: []ev{topic("late", "bob", 900, "create bob levels"), topic("deep", "bob", 20, "create bob levels")},
		sets: []string{"late", "deep"}, want: "deep",
	}, {
		name: "the deepest that is allowed wins", versions: "1", common: "create alice levels public bob carol dave",
		more: []ev{topic("bobs", "bob", 20, "create bob levels"), topic("daves", "dave", 21, "create dave levels")},
		sets: []string{"topic", "daves", "bobs"}, want: "bobs",
	}, {
		name: "the shallowest wins when none is allowed", versions: "1", common: "create alice levels public bob carol dave",
		more: []ev{topic("daves", "dave", 20, "create dave levels"), topic("carols", "carol", 21, "create carol levels")},
		sets: []string{"carols", "daves"}, want: "daves",
	}, {
		name: "levels go no further than the first that is not allowed", versions: "1", common: "create alice public bob carol dave topic",
		more: []ev{
			levels("daves", "dave", "alice 100, dave 100", 20, "create dave levels"),
			levels("alices", "alice", "alice 100, bob 60", 21, "create alice levels"),
		},
		sets: []string{"levels", "daves", "alices"}, want: "levels",
	}, {
		name: "levels count for what is resolved after them", versions: "1", common: "create alice public bob carol dave",
		more: []ev{
			levels("bobfalls", "alice", "alice 100", 20, "create alice levels"),
			topic("bobs", "bob", 21, "create bob levels"),
		},
		sets: []string{"levels bobs", "bobfalls topic"}, want: "bobfalls topic",
	}, {
		name: "what only some states have is in no conflict", versions: "1", common: "create alice levels public bob carol dave",
		more: []ev{topic("daves", "dave", 20, "create dave levels")},
		sets: []string{"", "daves"}, want: "daves",
	}})
}

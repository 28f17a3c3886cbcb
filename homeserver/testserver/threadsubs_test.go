package testserver_test

import (
	"fmt"
	"strings"
	"testing"

	"causeway/homeserver"
)

const (
	msc4306 = "/_matrix/client/unstable/io.element.msc4306"
	msc4308 = "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions"
	follow  = msc4306 + "/rooms/<room>/thread/<root>/subscription"
)

// replyIn is the content of a message in the thread of <root>.
func replyIn(root, body, more string) string {
	return fmt.Sprintf(`{"msgtype":"m.text","body":%q,"m.relates_to":{"rel_type":"m.thread","event_id":"<%s>"}%s}`, body, root, more)
}

// TestThreadSubscriptions follows threads and ends that. MSC4306.
func TestThreadSubscriptions(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"invite":["<bob>"]}`, "room_id")
		s.words["other"] = s.text("alice POST /createRoom", `{}`, "room_id")
		s.get("bob POST /rooms/<room>/join", `{}`)
		s.keepSaid("alice", "root", `{"msgtype":"m.text","body":"root"}`)
		s.keepSaid("alice", "one", replyIn("root", "one", ""))
		s.keepSaid("alice", "plain", `{"msgtype":"m.text","body":"plain"}`)
		s.run([]step{
			{"no token", "nobody GET " + follow, ``, 401, "M_MISSING_TOKEN", ""},
			{"none yet", "bob GET " + follow, ``, 404, "M_NOT_FOUND", ""},
			{"of no event", "bob PUT " + msc4306 + "/rooms/<room>/thread/$nothing/subscription", `{}`, 404, "M_NOT_FOUND", ""},
			{"in another room", "alice PUT " + msc4306 + "/rooms/<other>/thread/<root>/subscription", `{}`, 404, "M_NOT_FOUND", ""},
			{"of a stranger", "carol PUT " + follow, `{}`, 404, "M_NOT_FOUND", ""},
			{"of a stranger, ending it", "carol DELETE " + follow, ``, 404, "M_NOT_FOUND", ""},
			{"no JSON", "bob PUT " + follow, `{`, 400, "M_NOT_JSON", ""},
			{"automatic is no text", "bob PUT " + follow, `{"automatic":true}`, 400, "M_BAD_JSON", ""},
			{"automatic is empty", "bob PUT " + follow, `{"automatic":""}`, 400, "M_INVALID_PARAM", ""},
			{"ended before it began", "bob DELETE " + follow, ``, 200, "{}", ""},
			{"for an event that is not in it", "bob PUT " + follow, `{"automatic":"<plain>"}`, 400, "errcode=IO.ELEMENT.MSC4306.M_NOT_IN_THREAD", ""},
			{"for no event", "bob PUT " + follow, `{"automatic":"$nothing"}`, 404, "M_NOT_FOUND", ""},
			{"automatically", "bob PUT " + follow, `{"automatic":"<one>"}`, 200, "{}", ""},
			{"it is", "bob GET " + follow, ``, 200, "automatic=true", ""},
			{"it is bob's alone", "alice GET " + follow, ``, 404, "M_NOT_FOUND", ""},
			{"by hand", "bob PUT " + follow, `{}`, 200, "{}", ""},
			{"which goes before", "bob GET " + follow, ``, 200, "automatic=false", ""},
			{"automatically again", "bob PUT " + follow, `{"automatic":"<one>"}`, 200, "{}", ""},
			{"it stays by hand", "bob GET " + follow, ``, 200, "automatic=false", ""},
			{"end", "bob DELETE " + follow, ``, 200, "{}", ""},
			{"it is over", "bob GET " + follow, ``, 404, "M_NOT_FOUND", ""},
			{"not for what was there before", "bob PUT " + follow, `{"automatic":"<one>"}`, 409, "errcode=IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION", ""},
			{"another reply", "alice PUT /rooms/<room>/send/m.room.message/two", replyIn("root", "two", ""), 200, "event_id:eventid", "two=event_id"},
			{"for that", "bob PUT " + follow, `{"automatic":"<two>"}`, 200, "{}", ""},
			{"so it is", "bob GET " + follow, ``, 200, "automatic=true", ""},
			{"leave", "bob POST /rooms/<room>/leave", `{}`, 200, "{}", ""},
		})
	})
}

// TestThreadSubscriptionsInSync is told of threads that are followed. MSC4308.
func TestThreadSubscriptionsInSync(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{}`, "room_id")
		for i := range 5 {
			s.keepSaid("alice", string(rune('a'+i)), `{"msgtype":"m.text","body":"root"}`)
		}
		subscription := func(method, root string) {
			t.Helper()
			s.words["root"] = s.words[root]
			s.get("alice "+method+" "+follow, `{}`)
		}
		ask := `{"extensions":{"io.element.msc4308.thread_subscriptions":{"enabled":true,"limit":2}}}`
		at := "extensions/io.element.msc4308.thread_subscriptions"
		in := func(root string) string { return "/subscribed/" + s.words["room"] + "/" + s.words[root] }
		out := func(root string) string { return "/unsubscribed/" + s.words["room"] + "/" + s.words[root] }
		s.must("none", s.slide("alice", sliding, ask), at+":absent")
		subscription("PUT", "a")
		subscription("PUT", "b")
		s.must("two", s.slide("alice", sliding, ask),
			at+in("a")+"/automatic=false "+at+in("a")+"/bump_stamp:integer "+at+in("b")+"/bump_stamp:integer "+at+"/prev_batch:absent "+at+"/unsubscribed:absent")
		s.must("once", s.slide("alice", sliding, ask), at+":absent")
		subscription("DELETE", "a")
		subscription("PUT", "c")
		subscription("PUT", "d")
		s.words["before"] = s.words["alice pos"]
		v := s.slide("alice", sliding, ask)
		s.must("the newest", v, at+in("c")+":object "+at+in("d")+":object "+at+out("a")+":absent "+at+"/prev_batch:string")
		s.words["prev"] = textAt(t, v, at+"/prev_batch")
		s.run([]step{
			{"the rest", "alice GET " + msc4308 + "?dir=b&from=<prev>&to=<before>", ``, 200, out("a")[1:] + "/bump_stamp:integer subscribed:absent end:absent", ""},
			{"all", "alice GET " + msc4308 + "?dir=b&limit=2", ``, 200, in("c")[1:] + ":object " + in("d")[1:] + ":object end:string", "end=end"},
			{"all of the rest", "alice GET " + msc4308 + "?dir=b&limit=2&from=<end>", ``, 200, in("b")[1:] + "/automatic=false unsubscribed:absent end:absent", ""},
			{"another's", "bob GET " + msc4308 + "?dir=b", ``, 200, "{}", ""},
			{"no direction", "alice GET " + msc4308, ``, 400, "M_MISSING_PARAM", ""},
			{"forwards", "alice GET " + msc4308 + "?dir=f", ``, 400, "M_INVALID_PARAM", ""},
			{"a wrong token", "alice GET " + msc4308 + "?dir=b&from=x", ``, 400, "M_INVALID_PARAM", ""},
			{"another wrong token", "alice GET " + msc4308 + "?dir=b&to=x", ``, 400, "M_INVALID_PARAM", ""},
			{"a limit of nothing", "alice GET " + msc4308 + "?dir=b&limit=0", ``, 400, "M_INVALID_PARAM", ""},
			{"no token", "nobody GET " + msc4308 + "?dir=b", ``, 401, "M_MISSING_TOKEN", ""},
		})
		s.words["alice pos"] = s.words["before"] // the answer was lost
		s.must("again", s.slide("alice", sliding, ask), at+in("c")+":object "+at+in("d")+":object "+at+"/prev_batch:string")
	})
}

// TestThreadSubscriptionWakes has a change end the wait of another device.
func TestThreadSubscriptionWakes(t *testing.T) {
	bus := newWaiting()
	each(t, "alice", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{}`, "room_id")
		s.keepSaid("alice", "root", `{"msgtype":"m.text","body":"root"}`)
		ask := `{"extensions":{"io.element.msc4308.thread_subscriptions":{"enabled":true}}}`
		s.slide("alice", sliding, ask)
		answered := s.parkSlide(bus, "alice", sliding, ask)
		s.get("alice PUT "+follow, `{}`)
		s.must("woken", decode(t, <-answered), "extensions/io.element.msc4308.thread_subscriptions/subscribed/"+s.words["room"]+"/"+s.words["root"]+"/automatic=false")
	}, bus.use)
}

// TestThreadRules hears of threads that are followed and of mentions in others, and of nothing else in threads.
func TestThreadRules(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		for _, name := range []string{"bob", "carol"} {
			s.get(name+" POST /rooms/<room>/join", `{}`)
		}
		s.keepSaid("alice", "root", `{"msgtype":"m.text","body":"root"}`)
		s.get("bob PUT "+follow, `{}`)
		// Carol has changed a rule, so that hers are judged apart.
		s.get("carol PUT /pushrules/global/override/.m.rule.reaction/enabled", `{"enabled":false}`)
		for _, name := range []string{"bob", "carol"} {
			s.get(name+" POST /rooms/<room>/receipt/m.read/<root>", `{}`)
		}
		said := 0
		say := func(content string) {
			t.Helper()
			said++
			s.keepSaid("alice", fmt.Sprint("said", said), content)
		}
		counts := func() string {
			t.Helper()
			var all []string
			for _, name := range []string{"bob", "carol"} {
				v := s.get(name+" GET /sync?timeout=0", "")
				all = append(all, name+" "+plain(at(v, "rooms/join/"+s.words["room"]+"/unread_notifications/notification_count")[0]))
			}
			return strings.Join(all, ", ")
		}
		for _, step := range []struct{ name, content, want string }{
			{"in the thread", replyIn("root", "one", ""), "bob 1, carol 0"},
			{"in the main timeline", `{"msgtype":"m.text","body":"two"}`, "bob 2, carol 1"},
			{"a mention in the thread", replyIn("root", "three", `,"m.mentions":{"user_ids":["<carol>"]}`), "bob 3, carol 2"},
		} {
			say(step.content)
			if got := counts(); got != step.want {
				t.Errorf("%s: got %s, want %s", step.name, got, step.want)
			}
		}
		// The room is muted; the thread is not.
		s.get("bob PUT /pushrules/global/room/<room>", `{"actions":[]}`)
		say(replyIn("root", "four", ""))
		say(`{"msgtype":"m.text","body":"five"}`)
		if got, want := counts(), "bob 4, carol 3"; got != want {
			t.Errorf("muted: got %s, want %s", got, want)
		}
		rule := "/pushrules/global/postcontent/.io.element.msc4306.rule.unsubscribed_thread"
		s.run([]step{
			{"the rule", "carol GET " + rule, ``, 200, "default=true enabled=true conditions/0/kind=io.element.msc4306.thread_subscription conditions/0/subscribed=false", ""},
			{"one's own", "carol PUT /pushrules/global/postcontent/mine", `{"actions":[]}`, 400, "M_INVALID_PARAM", ""},
			{"off", "carol PUT " + rule + "/enabled", `{"enabled":false}`, 200, "{}", ""},
		})
		say(replyIn("root", "six", ""))
		if got, want := counts(), "bob 5, carol 4"; got != want {
			t.Errorf("without the rule: got %s, want %s", got, want)
		}
	}, func(c *homeserver.Config) { c.Push.ThreadSubscriptions = true })
}

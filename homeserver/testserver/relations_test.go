package testserver_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// message sends a message, whose body is also its transaction id, and keeps its event id as that word. More of the content may be
// given, as members of an object.
func (s *script) message(user, room, body, more string) {
	s.t.Helper()
	if more != "" {
		more = "," + more
	}
	txn := strings.ReplaceAll(body, " ", "-")
	s.words[body] = s.text(user+" PUT /rooms/<"+room+">/send/m.room.message/"+txn,
		`{"msgtype":"m.text","body":"`+body+`"`+more+`}`, "event_id")
}

// relates is the member of a content that makes an event relate to another.
func relates(relType, parent string) string {
	return `"m.relates_to":{"rel_type":"` + relType + `","event_id":"<` + parent + `>"}`
}

func edits(parent string) string {
	return relates("m.replace", parent) + `,"m.new_content":{"body":"new"}`
}

// react annotates an event, and keeps the annotation as a word.
func (s *script) react(user, room, word, parent, key string) {
	s.t.Helper()
	s.words[word] = s.text(user+" PUT /rooms/<"+room+">/send/m.reaction/"+strings.ReplaceAll(word, " ", "-"),
		`{"m.relates_to":{"rel_type":"m.annotation","event_id":"<`+parent+`>","key":"`+key+`"}}`, "event_id")
}

// nextMillisecond returns when what is sent has another origin_server_ts than what was sent before.
func nextMillisecond() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
		runtime.Gosched()
	}
}

// names returns the words of the events of a chunk.
func (s *script) names(body any, path string) string {
	s.t.Helper()
	var names []string
	for _, eventID := range at(body, path) {
		name := plain(eventID)
		for word, value := range s.words {
			if value == name {
				name = word
			}
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// TestRelations reads what relates to an event. Client-Server API, "Relationships API".
func TestRelations(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", ``)
		s.message("alice", "room", "root", "")
		s.message("bob", "room", "one", relates("m.thread", "root"))
		s.words["dummy"] = s.text("alice PUT /rooms/<room>/send/m.dummy/d", `{`+relates("m.thread", "root")+`}`, "event_id")
		s.message("alice", "room", "edit", edits("root"))
		s.react("bob", "room", "like", "one", "+")
		s.message("bob", "room", "edited one", edits("one"))
		s.message("alice", "room", "apart", "")
		s.message("alice", "room", "deep", relates("m.reference", "like"))
		s.message("alice", "room", "deeper", relates("m.reference", "deep"))

		for _, tt := range []struct{ path, want string }{
			{"root", "edit dummy one"},
			{"root?dir=f", "one dummy edit"},
			{"root?dir=b&limit=2", "edit dummy"},
			{"root/m.thread", "dummy one"},
			{"root/m.thread/m.room.message", "one"},
			{"root/m.thread/m.unknown", ""},
			{"root/m.unknown", ""},
			{"one", "edited one like"},
			{"apart", ""},
			{"root?recurse=true", "deep edited one like edit dummy one"},
			{"root?recurse=true&dir=f&limit=4", "one dummy edit like"},
			{"root/m.thread?recurse=true", "dummy one"},
			{"root?recurse=false", "edit dummy one"},
			{"root?org.matrix.msc3981.recurse=true&limit=1", "deep"},
		} {
			path, query, _ := strings.Cut(tt.path, "?")
			parent, rest, _ := strings.Cut(path, "/")
			if rest != "" {
				rest = "/" + rest
			}
			for _, prefix := range []string{"/_matrix/client/v1", "/_matrix/client/unstable"} {
				got := s.names(s.get("bob GET "+prefix+"/rooms/<room>/relations/<"+parent+">"+rest+"?"+query, ``), "chunk/*/event_id")
				if got != tt.want {
					s.t.Errorf("%s: got %s, want %s", tt.path, got, tt.want)
				}
			}
		}
		v1 := "/_matrix/client/v1/rooms/<room>/relations"
		s.run([]step{
			{"without a token", "nobody GET " + v1 + "/<root>", ``, 401, "M_MISSING_TOKEN", ""},
			{"a stranger", "carol GET " + v1 + "/<root>", ``, 404, "M_NOT_FOUND", ""},
			{"no such event", "bob GET " + v1 + "/$none", ``, 404, "M_NOT_FOUND", ""},
			{"no such room", "bob GET /_matrix/client/v1/rooms/!none/relations/<root>", ``, 404, "M_NOT_FOUND", ""},
			{"a bad direction", "bob GET " + v1 + "/<root>?dir=x", ``, 400, "M_INVALID_PARAM", ""},
			{"a bad limit", "bob GET " + v1 + "/<root>?limit=-1", ``, 400, "M_INVALID_PARAM", ""},
			{"a bad token", "bob GET " + v1 + "/<root>?from=x", ``, 400, "M_INVALID_PARAM", ""},
			{"a bad end", "bob GET " + v1 + "/<root>?to=x", ``, 400, "M_INVALID_PARAM", ""},
			{"bad recursion", "bob GET " + v1 + "/<root>?recurse=x", ``, 400, "M_INVALID_PARAM", ""},
			{"the first page", "bob GET " + v1 + "/<root>?limit=2", ``, 200, "chunk/*:event next_batch:string prev_batch:absent recursion_depth:absent", "next=next_batch"},
			{"the last page", "bob GET " + v1 + "/<root>?limit=2&from=<next>", ``, 200, "chunk/0/event_id=<one> chunk/1:absent next_batch:absent prev_batch=<next>", ""},
			{"back from there", "bob GET " + v1 + "/<root>?limit=9&dir=f&from=<next>", ``, 200, "chunk/0/event_id=<dummy> chunk/1/event_id=<edit>", ""},
			{"up to there", "bob GET " + v1 + "/<root>?to=<next>", ``, 200, "chunk/1/event_id=<dummy> chunk/2:absent", ""},
			{"the depth of recursion", "bob GET " + v1 + "/<root>?recurse=true", ``, 200, "recursion_depth=3", ""},
			{"a bundle", "bob GET " + v1 + "/<root>/m.thread?dir=f&limit=1", ``, 200, "chunk/0/unsigned/m.relations/m.replace/event_id=<edited one>", ""},
			{"redact a child", "bob PUT /rooms/<room>/redact/<one>/r", `{}`, 200, "event_id:eventid", ""},
			{"it relates no more", "bob GET " + v1 + "/<root>/m.thread", ``, 200, "chunk/0/event_id=<dummy> chunk/1:absent", ""},
			{"redact the parent", "alice PUT /rooms/<room>/redact/<root>/r", `{}`, 200, "event_id:eventid", ""},
			{"its children stay", "bob GET " + v1 + "/<root>", ``, 200, "chunk/0/event_id=<edit> chunk/1/event_id=<dummy> chunk/2:absent", ""},
		})
	})
}

// TestBundles looks at what events are told with. Client-Server API, "Aggregations of child events".
func TestBundles(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", ``)
		s.get("carol POST /rooms/<room>/join", ``)
		s.message("alice", "room", "root", "")
		s.message("alice", "room", "first edit", edits("root"))
		nextMillisecond() // or the event ids would decide which is newer
		s.message("alice", "room", "second edit", edits("root"))
		s.message("bob", "room", "not mine", edits("root"))
		s.message("alice", "room", "no new content", relates("m.replace", "root"))
		s.message("alice", "room", "edit of an edit", edits("second edit"))
		s.words["other type"] = s.text("alice PUT /rooms/<room>/send/x.y/ot", `{`+edits("root")+`}`, "event_id")
		s.react("bob", "room", "like", "root", "+")
		s.message("bob", "room", "reply", relates("m.thread", "root"))
		s.message("bob", "room", "last reply", relates("m.thread", "root"))
		s.message("bob", "room", "edited reply", edits("last reply"))
		s.message("bob", "room", "reference", relates("m.reference", "root"))
		s.message("carol", "room", "reference by carol", relates("m.reference", "root"))
		s.words["topic"] = s.text("alice PUT /rooms/<room>/state/m.room.topic", `{"topic":"t"}`, "event_id")
		s.message("alice", "room", "about the topic", relates("m.reference", "topic"))

		const event, relations = "/rooms/<room>/event/<root>", "unsigned/m.relations/"
		s.run([]step{
			{"an edit", "alice GET " + event, ``, 200, "content/body=root " + relations + "m.replace:event " + relations + "m.replace/event_id=<second edit> " +
				relations + "m.replace/content/m.new_content/body=new", ""},
			{"a thread", "alice GET " + event, ``, 200, relations + "m.thread/latest_event:event " + relations + "m.thread/latest_event/event_id=<last reply> " +
				relations + "m.thread/count=2 " + relations + "m.thread/current_user_participated=true", ""},
			{"a bundle in the thread", "alice GET " + event, ``, 200, relations + "m.thread/latest_event/unsigned/m.relations/m.replace/event_id=<edited reply>", ""},
			{"who took no part", "carol GET " + event, ``, 200, relations + "m.thread/current_user_participated=false", ""},
			{"who took part", "bob GET " + event, ``, 200, relations + "m.thread/current_user_participated=true", ""},
			{"references", "alice GET " + event, ``, 200, relations + "m.reference/chunk/0/event_id=<reference> " + relations + "m.reference/chunk/1/event_id=<reference by carol> " +
				relations + "m.reference/chunk/2:absent " + relations + "m.annotation:absent", ""},
			{"an edit has none", "alice GET /rooms/<room>/event/<second edit>", ``, 200, "unsigned/m.relations:absent", ""},
			{"state has none", "alice GET /rooms/<room>/event/<topic>", ``, 200, "unsigned/m.relations:absent", ""},
			{"messages", "alice GET /rooms/<room>/messages?dir=b&limit=1&filter={\"not_types\":[\"x\"],\"related_by_rel_types\":[\"m.thread\"]}", ``, 200,
				"chunk/0/event_id=<root> chunk/0/unsigned/m.relations/m.thread/count=2", ""},
			{"context", "alice GET /rooms/<room>/context/<root>?limit=30", ``, 200, "event/unsigned/m.relations/m.thread/count=2 events_before/0/unsigned/m.relations:absent", ""},
			{"a sync that is limited", `alice GET /sync?filter={"room":{"timeline":{"limit":15}}}`, ``, 200,
				"rooms/join/<room>/timeline/events/1/event_id=<first edit> rooms/join/<room>/timeline/events/0/unsigned/m.relations/m.thread/latest_event:syncevent", ""},
			{"a sync that is not", `alice GET /sync?filter={"room":{"timeline":{"limit":99}}}`, ``, 200,
				"rooms/join/<room>/timeline/limited=false rooms/join/<room>/timeline/events/*/unsigned/m.relations:absent", ""},
			{"ignore bob", "carol PUT /user/<carol>/account_data/m.ignored_user_list", `{"ignored_users":{"<bob>":{}}}`, 200, "{}", ""},
			{"without the ignored", "carol GET " + event, ``, 200, relations + "m.thread:absent " + relations + "m.reference/chunk/0/event_id=<reference by carol> " +
				relations + "m.replace/event_id=<second edit>", ""},
			{"she takes part", "carol PUT /rooms/<room>/send/m.room.message/part", `{"body":"part",` + relates("m.thread", "root") + `}`, 200, "event_id:eventid", "part=event_id"},
			{"bob says more", "bob PUT /rooms/<room>/send/m.room.message/more", `{"body":"more",` + relates("m.thread", "root") + `}`, 200, "event_id:eventid", "more=event_id"},
			{"without what is ignored", "carol GET " + event, ``, 200, relations + "m.thread/count=1 " + relations + "m.thread/latest_event/event_id=<part>", ""},
			{"with it", "alice GET " + event, ``, 200, relations + "m.thread/count=4 " + relations + "m.thread/latest_event/event_id=<more>", ""},
			{"redact the newest edit", "alice PUT /rooms/<room>/redact/<second edit>/1", `{}`, 200, "event_id:eventid", ""},
			{"the one before", "alice GET " + event, ``, 200, relations + "m.replace/event_id=<first edit>", ""},
			{"redact the newest reply", "alice PUT /rooms/<room>/redact/<more>/2", `{}`, 200, "event_id:eventid", ""},
			{"the thread is shorter", "alice GET " + event, ``, 200, relations + "m.thread/count=3 " + relations + "m.thread/latest_event/event_id=<part>", ""},
			{"redact the root", "alice PUT /rooms/<room>/redact/<root>/3", `{}`, 200, "event_id:eventid", ""},
			{"no edit, and the rest", "alice GET " + event, ``, 200, "content/body:absent " + relations + "m.replace:absent " + relations + "m.thread/count=3 " +
				relations + "m.reference/chunk/1/event_id=<reference by carol>", ""},
		})
	})
}

// TestThreads lists the threads of a room. Client-Server API, "Querying threads in a room".
func TestThreads(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", ``)
		for _, root := range []string{"one", "two", "three"} {
			s.message("alice", "room", root, "")
		}
		s.message("bob", "room", "bobs", "")
		for i, root := range []string{"one", "two", "three", "bobs", "one"} {
			s.message("alice", "room", fmt.Sprint("reply ", i), relates("m.thread", root))
		}
		s.message("bob", "room", "in two", relates("m.thread", "two"))
		s.message("bob", "room", "no thread", relates("m.reference", "three"))
		const threads = "/_matrix/client/v1/rooms/<room>/threads"
		for _, tt := range []struct{ user, query, want string }{
			{"alice", "", "two one bobs three"},
			{"alice", "include=all&limit=9", "two one bobs three"},
			{"alice", "include=participated", "two one bobs three"},
			{"bob", "include=participated", "two bobs"},
			{"alice", "limit=3", "two one bobs"},
		} {
			for _, path := range []string{threads, "/_matrix/client/unstable/org.matrix.msc3856/rooms/<room>/threads"} {
				if got := s.names(s.get(tt.user+" GET "+path+"?"+tt.query, ``), "chunk/*/event_id"); got != tt.want {
					s.t.Errorf("%s ?%s: got %s, want %s", tt.user, tt.query, got, tt.want)
				}
			}
		}
		s.run([]step{
			{"without a token", "nobody GET " + threads, ``, 401, "M_MISSING_TOKEN", ""},
			{"a stranger", "carol GET " + threads, ``, 403, "M_FORBIDDEN", ""},
			{"no such room", "alice GET /_matrix/client/v1/rooms/!none/threads", ``, 403, "M_FORBIDDEN", ""},
			{"a bad token", "alice GET " + threads + "?from=x", ``, 400, "M_INVALID_PARAM", ""},
			{"no limit", "alice GET " + threads + "?limit=0", ``, 400, "M_INVALID_PARAM", ""},
			{"a bad choice", "alice GET " + threads + "?include=x", ``, 400, "M_INVALID_PARAM", ""},
			{"a page", "alice GET " + threads + "?limit=2", ``, 200, "chunk/*:event chunk/0/unsigned/m.relations/m.thread/latest_event/event_id=<in two> chunk/2:absent next_batch:string", "next=next_batch"},
			{"the next page", "alice GET " + threads + "?limit=2&from=<next>", ``, 200, "chunk/0/event_id=<bobs> chunk/1/event_id=<three> next_batch:absent", ""},
			{"ignore bob", "alice PUT /user/<alice>/account_data/m.ignored_user_list", `{"ignored_users":{"<bob>":{}}}`, 200, "{}", ""},
			{"a root of somebody ignored", "alice GET " + threads, ``, 200, "chunk/2/event_id=<bobs> chunk/2/content/body:absent chunk/2/unsigned/m.relations/m.thread/count=1 " +
				"chunk/0/unsigned/m.relations/m.thread/count=1 chunk/1/content/body=one", ""},
			{"what relates to it", "alice GET /_matrix/client/v1/rooms/<room>/relations/<bobs>", ``, 200, "chunk/0:event chunk/1:absent", ""},
			{"a root of one's own, emptied", "alice PUT /rooms/<room>/redact/<reply 2>/1", `{}`, 200, "event_id:eventid", ""},
			{"it is no thread any more", "bob GET " + threads + "?limit=9", ``, 200, "chunk/2/event_id=<bobs> chunk/3:absent", ""},
			{"leave", "bob POST /rooms/<room>/leave", ``, 200, "{}", ""},
			{"goes on without bob", "alice PUT /rooms/<room>/send/m.room.message/late", `{"body":"late",` + relates("m.thread", "bobs") + `}`, 200, "event_id:eventid", ""},
			{"as it was when bob left", "bob GET " + threads, ``, 200, "chunk/0/event_id=<two> chunk/2/event_id=<bobs> chunk/2/unsigned/m.relations/m.thread/count=1 " +
				"chunk/2/unsigned/m.relations/m.thread/latest_event/event_id=<reply 3>", ""},
			{"and its relations", "bob GET /_matrix/client/v1/rooms/<room>/relations/<bobs>", ``, 200, "chunk/0/event_id=<reply 3> chunk/1:absent", ""},
		})
	})
}

// TestRelationsAreChecked sends what may not relate. Client-Server API, "Avoiding duplicate annotations" and "Validation of m.thread
// relationships".
func TestRelationsAreChecked(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.words["elsewhere"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", ``)
		s.message("alice", "room", "root", "")
		s.message("alice", "elsewhere", "far", "")
		s.message("bob", "room", "reply", relates("m.thread", "root"))
		s.message("bob", "room", "rich reply", `"m.relates_to":{"m.in_reply_to":{"event_id":"<root>"}}`)
		annotate := func(key, parent string) string {
			return `{"m.relates_to":{"rel_type":"m.annotation","event_id":"<` + parent + `>","key":"` + key + `"}}`
		}
		const send = " PUT /rooms/<room>/send/"
		s.run([]step{
			{"annotate", "alice" + send + "m.reaction/1", annotate("a", "root"), 200, "event_id:eventid", "like=event_id"},
			{"the same request again", "alice" + send + "m.reaction/1", annotate("a", "root"), 200, "event_id=<like>", ""},
			{"the same again", "alice" + send + "m.reaction/2", annotate("a", "root"), 400, "M_DUPLICATE_ANNOTATION", ""},
			{"another key", "alice" + send + "m.reaction/3", annotate("b", "root"), 200, "event_id:eventid", ""},
			{"another event", "alice" + send + "m.reaction/4", annotate("a", "reply"), 200, "event_id:eventid", ""},
			{"another type", "alice" + send + "x.y/5", annotate("a", "root"), 200, "event_id:eventid", ""},
			{"another user", "bob" + send + "m.reaction/6", annotate("a", "root"), 200, "event_id:eventid", ""},
			{"take it back", "alice PUT /rooms/<room>/redact/<like>/7", `{}`, 200, "event_id:eventid", ""},
			{"and say it again", "alice" + send + "m.reaction/8", annotate("a", "root"), 200, "event_id:eventid", ""},
			{"without a key", "alice" + send + "m.reaction/9", `{` + relates("m.annotation", "root") + `}`, 200, "event_id:eventid", ""},
			{"of something unknown", "alice" + send + "m.reaction/10", `{"m.relates_to":{"rel_type":"m.annotation","event_id":"$x","key":"a"}}`, 200, "event_id:eventid", ""},
			{"of another room", "alice" + send + "m.reaction/11", annotate("a", "far"), 400, "M_INVALID_PARAM", ""},
			{"a thread in a thread", "alice" + send + "m.room.message/12", `{` + relates("m.thread", "reply") + `}`, 400, "M_UNKNOWN", ""},
			{"a thread from a rich reply", "alice" + send + "m.room.message/13", `{` + relates("m.thread", "rich reply") + `}`, 200, "event_id:eventid", ""},
			{"nonsense is no relation", "alice" + send + "m.room.message/14", `{"m.relates_to":{"rel_type":1,"event_id":["$x"]}}`, 200, "event_id:eventid", ""},
		})
	})
}

// Of many equal annotations at the same moment, one is taken.
func TestAnnotationsAtTheSameMoment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newScript(t, db, []string{"alice"})
		s.words["room"] = s.text("alice POST /createRoom", `{}`, "room_id")
		s.message("alice", "room", "root", "")
		const n = 12
		codes := make([]string, n)
		var wait sync.WaitGroup
		for i := range n {
			wait.Go(func() {
				a := s.ask(fmt.Sprintf("alice PUT /rooms/<room>/send/m.reaction/%d", i),
					`{"m.relates_to":{"rel_type":"m.annotation","event_id":"<root>","key":"a"}}`)
				if codes[i] = a.Code(); a.Status == http.StatusOK {
					codes[i] = "OK"
				}
			})
		}
		wait.Wait()
		count := make(map[string]int)
		for _, code := range codes {
			count[code]++
		}
		if count["OK"] != 1 || count["M_DUPLICATE_ANNOTATION"] != n-1 {
			t.Errorf("got %v, want one of %d taken", count, n)
		}
	})
}

// TestRelationFilters reads pages of what relates in some way, and of what something relates to. MSC3874, MSC3440.
func TestRelationFilters(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", ``)
		s.message("alice", "room", "root", "")
		s.message("alice", "room", "in thread", relates("m.thread", "root"))
		s.message("bob", "room", "referring", relates("m.reference", "in thread"))
		s.message("bob", "room", "other", "")
		for _, tt := range []struct{ filter, want string }{
			{`"org.matrix.msc3874.rel_types":["m.thread"]`, "in thread"},
			{`"rel_types":["m.thread","m.reference"]`, "in thread referring"},
			{`"rel_types":[]`, ""},
			{`"org.matrix.msc3874.not_rel_types":["m.thread"]`, "root referring other"},
			{`"not_rel_types":["m.thread","m.reference"]`, "root other"},
			{`"related_by_rel_types":["m.thread"]`, "root"},
			{`"related_by_rel_types":["m.thread","m.reference"]`, "root in thread"},
			{`"related_by_senders":["<bob>"]`, "in thread"},
			{`"related_by_senders":["<bob>"],"related_by_rel_types":["m.thread"]`, ""},
			{`"related_by_senders":[]`, ""},
			{`"related_by_senders":["@x:y","\u0000"]`, ""},
		} {
			filter := s.fill(`{"types":["m.room.message"],`+tt.filter+`}`, func(v string) string { return v })
			got := s.names(s.get("alice GET /rooms/<room>/messages?dir=f&limit=50&filter="+filter, ``), "chunk/*/event_id")
			if got != tt.want {
				s.t.Errorf("/messages with %s: got %s, want %s", tt.filter, got, tt.want)
			}
			got = s.names(s.get(`alice GET /sync?filter={"room":{"timeline":`+filter+`}}`, ``), "rooms/join/"+s.words["room"]+"/timeline/events/*/event_id")
			if got != tt.want {
				s.t.Errorf("/sync with %s: got %s, want %s", tt.filter, got, tt.want)
			}
		}
	})
}

// TestRedactWith redacts an event with what relates to it. MSC3912.
func TestRedactWith(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		for _, tt := range []struct{ user, body, gone string }{
			{"alice", `{}`, ""},
			{"alice", `{"with_rel_types":[]}`, ""},
			{"alice", `{"with_rel_types":["m.replace"]}`, "edit"},
			{"alice", `{"with_rel_types":["*"]}`, "edit like reply"},
			{"alice", `{"org.matrix.msc3912.with_relations":["m.thread","m.annotation"],"reason":"r"}`, "like reply"},
			{"bob", `{"with_rel_types":["*"]}`, "like"}, // of his own
		} {
			s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
			s.get("bob POST /rooms/<room>/join", ``)
			s.message("alice", "room", "alice root", "")
			s.message("bob", "room", "bob root", "")
			root := tt.user + " root"
			s.message(tt.user, "room", "edit", edits(root))
			s.message("alice", "room", "reply", relates("m.thread", root))
			s.message("alice", "room", "edit of the edit", edits("edit"))
			s.react("bob", "room", "like", root, "+")
			if tt.user == "bob" {
				tt.gone = "edit like"
			}
			s.get(tt.user+" PUT /rooms/<room>/redact/<"+root+">/r", tt.body)
			s.get(tt.user+" PUT /rooms/<room>/redact/<"+root+">/r", tt.body) // a repeat changes nothing
			var gone []string
			for _, word := range []string{"edit", "like", "reply", "edit of the edit"} {
				if len(at(s.get("alice GET /rooms/<room>/event/<"+word+">", ``), "unsigned/redacted_because")) > 0 {
					gone = append(gone, word)
				}
			}
			if got := strings.Join(gone, " "); got != tt.gone {
				s.t.Errorf("%s by %s: gone is %q, want %q", tt.body, tt.user, got, tt.gone)
			}
		}
		s.run([]step{
			{"of a wrong type", "alice PUT /rooms/<room>/redact/<reply>/x", `{"with_rel_types":"m.replace"}`, 400, "M_BAD_JSON", ""},
			{"too many", "alice PUT /rooms/<room>/redact/<reply>/x", `{"with_rel_types":[` + strings.Repeat(`"x",`, 50) + `"x"]}`, 400, "M_INVALID_PARAM", ""},
		})
	})
}

// TestRedactInEachVersion redacts by both ways in each room version. MSC4169.
func TestRedactInEachVersion(t *testing.T) {
	each(t, "alice", func(s *script) {
		for version := 1; version <= 12; version++ {
			s.words["room"] = s.text("alice POST /createRoom", fmt.Sprintf(`{"room_version":"%d"}`, version), "room_id")
			s.message("alice", "room", "one", "")
			s.message("alice", "room", "two", "")
			s.words["by redact"] = s.text("alice PUT /rooms/<room>/redact/<one>/1", `{"reason":"r"}`, "event_id")
			s.words["by send"] = s.text("alice PUT /rooms/<room>/send/m.room.redaction/2", `{"redacts":"<two>","reason":"r"}`, "event_id")
			for target, redaction := range map[string]string{"one": "by redact", "two": "by send"} {
				s.run([]step{
					{fmt.Sprint("target in version ", version), "alice GET /rooms/<room>/event/<" + target + ">", ``, 200,
						"content/body:absent unsigned/redacted_because/event_id=<" + redaction + "> unsigned/redacted_because/content/reason=r", ""},
					{fmt.Sprint("redaction in version ", version), "alice GET /rooms/<room>/event/<" + redaction + ">", ``, 200,
						"redacts=<" + target + "> content/redacts=<" + target + "> content/reason=r", ""},
				})
			}
		}
	})
}

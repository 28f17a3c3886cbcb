package testserver_test

import (
	"strings"
	"testing"

	"causeway/homeserver/store"
)

const (
	sliding    = "POST /_matrix/client/v4/sync"
	oldSliding = "POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
)

// slidingSteps follow a room by the stable form. MSC4186.
var slidingSteps = []step{
	{"the first answer", "alice " + sliding, `{"lists":{"l":{"timeline_limit":2,"range":[0,9],"required_state":{"include":[{"type":"m.room.create"}],"lazy_members":true}}},
		"extensions":{"account_data":{"enabled":true}}}`, 200,
		`pos:string lists/l/count:integer rooms/<room>/initial=true rooms/<room>/name=N rooms/<room>/timeline/*:syncevent rooms/<room>/required_state/*:syncevent
		rooms/<room>/joined_count:integer rooms/<room>/invited_count:integer rooms/<room>/bump_stamp:integer rooms/<room>/membership=join rooms/<room>/lists/0=l
		rooms/<room>/prev_batch:string rooms/<room>/limited=true rooms/<room>/num_live:integer rooms/<room>/notification_count:absent
		extensions/account_data/global/0/type=m.push_rules extensions/account_data/rooms:object`, "pos=pos"},
	{"a message", "alice PUT /rooms/<room>/send/m.room.message/1", `{"msgtype":"m.text","body":"hello"}`, 200, "event_id:string", ""},
	{"the next answer", "alice " + sliding, `{"pos":"<pos>","timeout":10000,"lists":{"l":{"timeline_limit":2,"range":[0,9],"required_state":{}}}}`, 200,
		`pos:string rooms/<room>/timeline/0/content/body=hello rooms/<room>/timeline/0/unsigned/transaction_id=1 rooms/<room>/initial:absent
		rooms/<room>/limited=false rooms/<room>/required_state:absent`, "next=pos"},
	{"history from there", "alice GET /rooms/<room>/messages?dir=b&from=<next>&limit=1", ``, 200, `chunk/0/content/body=hello`, ""},
	{"the answer again", "alice " + sliding, `{"pos":"<pos>","lists":{"l":{"timeline_limit":2,"range":[0,9],"required_state":{}}}}`, 200,
		`rooms/<room>/timeline/0/content/body=hello`, "pos=pos"},
	{"the answer that was lost", "alice " + sliding, `{"pos":"<next>"}`, 400, "M_UNKNOWN_POS", ""},
	{"an invitation", "bob " + sliding, `{"lists":{"l":{"timeline_limit":2,"required_state":{"include":[{}]}}}}`, 200,
		`rooms/<room>/membership=invite rooms/<room>/stripped_state/*:stripped rooms/<room>/timeline:absent rooms/<room>/required_state:absent`, ""},
	{"another's position", "bob " + sliding, `{"pos":"<pos>"}`, 400, "M_UNKNOWN_POS", ""},
	{"a stranger", "carol " + sliding, `{"room_subscriptions":{"<room>":{"timeline_limit":2,"required_state":{"include":[{}]}}}}`, 200, `rooms/<room>:absent`, ""},
	{"nonsense", "alice " + sliding, `{"pos":"nonsense"}`, 400, "M_UNKNOWN_POS", ""},
	{"no token", "nobody " + sliding, `{}`, 401, "M_MISSING_TOKEN", ""},
	{"bad JSON", "alice " + sliding, `{`, 400, "M_NOT_JSON", ""},
	{"an array", "alice " + sliding, `[]`, 400, "M_BAD_JSON", ""},
	{"a wrong field", "alice " + sliding, `{"lists":{"l":{"timeline_limit":-1,"required_state":{}}}}`, 400, "M_INVALID_PARAM", ""},
	{"a wrong presence", "alice " + sliding, `{"set_presence":"asleep"}`, 400, "M_INVALID_PARAM", ""},
	{"another method", "alice GET /_matrix/client/v4/sync", ``, 405, "M_UNRECOGNIZED", ""},
}

// oldSlidingSteps follow it by the unstable form, as clients of today do.
var oldSlidingSteps = []step{
	{"the flag", "nobody GET /_matrix/client/versions", ``, 200, "unstable_features/org.matrix.simplified_msc3575=true", ""},
	{"the first answer", "alice " + oldSliding + "?timeout=0", `{"conn_id":"room-list","txn_id":"t","lists":{"l":{"timeline_limit":1,"ranges":[[0,19]],"filters":{},
		"required_state":[["m.room.member","$LAZY"],["m.room.member","$ME"],["m.room.create",""],["m.space.child","*"]]}}}`, 200,
		`pos:string txn_id=t rooms/<room>/initial=true rooms/<room>/notification_count:integer rooms/<room>/highlight_count:integer
		rooms/<room>/required_state/*:syncevent rooms/<room>/membership:absent rooms/<room>/lists:absent`, "pos=pos"},
	{"more of it", "alice " + oldSliding + "?timeout=0&pos=<pos>", `{"conn_id":"room-list","room_subscriptions":{"<room>":{"timeline_limit":20,"required_state":[]}}}`, 200,
		`rooms/<room>/unstable_expanded_timeline=true rooms/<room>/timeline/0/type=m.room.create rooms/<room>/limited=false`, "pos=pos"},
	{"nothing new", "alice " + oldSliding + "?timeout=1&pos=<pos>", `{"conn_id":"room-list"}`, 200, `pos:string rooms/<room>:absent`, "pos=pos"},
	{"the position in the body", "alice " + oldSliding, `{"conn_id":"room-list","pos":"<pos>"}`, 200, `pos:string rooms/<room>:absent`, ""},
	{"another connection", "alice " + oldSliding + "?pos=<pos>", `{"conn_id":"other"}`, 400, "M_UNKNOWN_POS", ""},
	{"an invitation", "bob " + oldSliding, `{"lists":{"l":{"ranges":[[0,9]],"timeline_limit":1,"required_state":[],"filters":{"is_invite":true}}}}`, 200,
		`rooms/<room>/invite_state/*:stripped rooms/<room>/stripped_state:absent`, ""},
	{"a wrong timeout", "alice " + oldSliding + "?timeout=soon", `{}`, 400, "M_INVALID_PARAM", ""},
	{"a wrong presence", "alice " + oldSliding + "?set_presence=asleep", `{}`, 400, "M_INVALID_PARAM", ""},
	{"no token", "nobody " + oldSliding, `{}`, 401, "M_MISSING_TOKEN", ""},
	{"logout", "alice POST /logout", ``, 200, "{}", ""},
	{"nothing is left", "alice " + oldSliding + "?pos=<pos>", `{"conn_id":"room-list"}`, 401, "M_UNKNOWN_TOKEN", ""},
}

func TestSliding(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"name":"N","preset":"private_chat","invite":["<bob>"]}`, "room_id")
		s.run(slidingSteps)
		s.run(oldSlidingSteps)
		problems, err := s.orphans()
		if err != nil || len(problems) > 0 {
			s.t.Errorf("orphans: %s, %v", strings.Join(problems, ", "), err)
		}
	})
}

// orphans returns what the doctor finds of connections.
func (s *script) orphans() (problems []string, err error) {
	err = s.DB.View(s.t.Context(), func(tx *store.Tx) error {
		all, err := tx.AuditOrphans(5)
		for _, o := range all {
			problems = append(problems, o.Rows...)
		}
		return err
	})
	return problems, err
}

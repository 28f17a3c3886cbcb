package account

import (
	"slices"
	"strings"
	"sync"

	"maunium.net/go/mautrix/id"
)

// uiaSessions remembers sessions in which something was completed. They do not outlive the process: a client then does its
// one stage again.
type uiaSessions struct {
	mu    sync.Mutex // guards the rest
	rows  map[string]*uiaSession
	asked map[string]asked // by the ids of sessions
	aside map[string]aside // by the ids of sessions
}

// asked is an operation for which somebody was asked to prove who they are. It is what a page tells them that they prove it for.
type asked struct {
	name      string
	user      id.UserID
	expiresTS int64
}

// aside are the stages that were completed on pages, whatever the session is for.
type aside struct {
	stages    []string
	token     string // the registration token, if that is one of the stages
	expiresTS int64
}

func newUIASessions() *uiaSessions {
	return &uiaSessions{rows: make(map[string]*uiaSession), asked: make(map[string]asked), aside: make(map[string]aside)}
}

// ask remembers for what somebody is asked who they are. u.mu is held.
func (u *uiaSessions) ask(op operation, session string, now int64) {
	if op.user == "" {
		return
	}
	makeRoom(u.asked, func(a asked) bool { return a.expiresTS <= now })
	u.asked[session] = asked{name: op.name, user: op.user, expiresTS: now + uiaSessionMS}
}

// askedFor returns for what somebody was asked who they are.
func (u *uiaSessions) askedFor(session string, now int64) (operation, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	a, ok := u.asked[session]
	return operation{name: a.name, user: a.user}, ok && a.expiresTS > now
}

// completeAside remembers that a stage was completed on a page.
func (u *uiaSessions) completeAside(session, stage, token string, now int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	makeRoom(u.aside, func(a aside) bool { return a.expiresTS <= now })
	a := u.aside[session]
	if !slices.Contains(a.stages, stage) {
		a.stages = append(slices.Clone(a.stages), stage)
	}
	if token != "" {
		a.token = token
	}
	a.expiresTS = now + uiaSessionMS
	u.aside[session] = a
}

// makeRoom drops what has expired when there is no room for one more, and something else if there is none then.
func makeRoom[V any](rows map[string]V, expired func(V) bool) {
	if len(rows) < maxUIASessions {
		return
	}
	for key, row := range rows {
		if expired(row) {
			delete(rows, key)
		}
	}
	for key := range rows {
		if len(rows) < maxUIASessions {
			return
		}
		delete(rows, key)
	}
}

// isSession tells whether a text has the form of the id of a session.
func isSession(id string) bool {
	return len(id) == uiaSessionChars && strings.Trim(id, lowerLetters) == ""
}

func (op operation) key(session string) string {
	return op.name + "\n" + string(op.user) + "\n" + session
}

// get returns a copy of the session, or one in which nothing is completed yet. A session in which somebody was asked for another operation is
// not theirs to take: who has its page before them is not to prove who they are for something else than the page says.
func (u *uiaSessions) get(op operation, session string, now int64) *uiaSession {
	u.mu.Lock()
	defer u.mu.Unlock()
	if a, ok := u.asked[session]; !isSession(session) || ok && a.expiresTS > now && (a.name != op.name || a.user != op.user) {
		session = randomText(lowerLetters, uiaSessionChars)
	}
	u.ask(op, session, now)
	found := uiaSession{id: session}
	if row := u.rows[op.key(session)]; row != nil && row.expiresTS > now {
		found = *row
	}
	if a := u.aside[session]; a.expiresTS > now {
		found.completeAll(op, a)
	}
	return &found
}

// completeAll counts what was completed on pages, in the order in which the operation has the stages.
func (session *uiaSession) completeAll(op operation, a aside) {
	for more := true; more; {
		more = false
		for _, stage := range a.stages {
			if !slices.Contains(session.completed, stage) && op.next(session.completed, stage) {
				session.completed, more = append(slices.Clone(session.completed), stage), true
				if stage == typeRegistrationToken {
					session.token = a.token
				}
			}
		}
	}
}

// put remembers a session, and drops what has expired, and something else if there are too many.
func (u *uiaSessions) put(op operation, session *uiaSession, now int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	makeRoom(u.rows, func(row *uiaSession) bool { return row.expiresTS <= now })
	kept := *session
	kept.expiresTS = now + uiaSessionMS
	u.rows[op.key(session.id)] = &kept
}

// drop forgets a session that has served, or whose stages count no more. It is false when it was forgotten already. nil is for none, which
// is always there.
func (u *uiaSessions) drop(op operation, session *uiaSession) bool {
	if session == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	_, completed := u.rows[op.key(session.id)]
	_, onPages := u.aside[session.id]
	delete(u.rows, op.key(session.id))
	delete(u.asked, session.id)
	delete(u.aside, session.id)
	return completed || onPages
}

package usersync

import (
	"container/heap"
	"context"
	"errors"
	"math"
	"strconv"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds on an answer of GET /notifications: the events in it, and the rows that are looked at to find them.
const (
	defaultNotifications     = 20
	maxNotifications         = 100
	maxNotificationsExamined = 2000
	notificationsPage        = 32
)

// NotificationsRequest is what a client asks of GET /notifications.
type NotificationsRequest struct {
	Viewer
	From       string // the next_token of an earlier answer
	Limit      int    // 0 for the default
	Highlights bool   // only what is highlighted
}

// Notifications returns what a user has been notified about in the rooms that they are in or invited to, newest first (Client-Server
// API, "Listing Notifications"). Events that the user may not see any more are left out. Errors: M_INVALID_PARAM.
func (s *Service) Notifications(ctx context.Context, req NotificationsRequest) (JSON, error) {
	before := int64(math.MaxInt64)
	if req.From != "" {
		pos, err := parseToken("from", req.From)
		if err != nil {
			return nil, err
		}
		before = pos
	}
	switch {
	case req.Limit < 0:
		return nil, matrixError(400, "M_INVALID_PARAM", "limit must not be below zero")
	case req.Limit == 0:
		req.Limit = defaultNotifications
	}
	req.Limit = min(req.Limit, maxNotifications)
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		l := &notificationList{s: s, tx: tx, req: &req, sight: s.newSight(tx, req.User), out: []byte(`{"notifications":[`)}
		next, err := l.read(before)
		if err != nil {
			return err
		}
		out = append(l.out, ']')
		if next > 0 {
			out = append(append(out, `,"next_token":"`...), token(next)...)
			out = append(out, '"')
		}
		out = append(out, '}')
		return nil
	})
	return out, err
}

// notificationList is one answer in the making.
type notificationList struct {
	s       *Service
	tx      *store.Tx
	req     *NotificationsRequest
	sight   *sight
	userNID int64
	found   int
	out     []byte
}

// notified is the rows of one room, newest first, and where the next are.
type notified struct {
	store.NotifiedRoom
	seat  store.Membership
	upto  int64 // rows after this position are not read
	rows  []store.PushActions
	v     *viewer
	room  id.RoomID
	marks map[string]int64
	said  map[int64]bool // the threads in which the user has sent something later
	ended bool           // there are no more rows than those
}

// newest returns the position of the newest row that is left.
func (n *notified) newest() int64 {
	if len(n.rows) > 0 {
		return n.rows[0].Pos
	}
	return n.Newest
}

// byNewest is a heap of rooms, that with the newest row first.
type byNewest []*notified

func (h byNewest) Len() int           { return len(h) }
func (h byNewest) Less(i, j int) bool { return h[i].newest() > h[j].newest() }
func (h byNewest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byNewest) Push(x any)        { *h = append(*h, x.(*notified)) }
func (h *byNewest) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// read appends the notifications before a position and returns the position before which the next are, 0 when there are none.
func (l *notificationList) read(before int64) (next int64, err error) {
	if l.userNID, err = l.tx.LookupNID(string(l.req.User)); err != nil {
		return 0, err
	}
	if is, err := l.tx.IsPerson(l.userNID); err != nil || !is {
		return 0, err
	}
	rooms, err := l.rooms(before)
	if err != nil {
		return 0, err
	}
	heap.Init(&rooms)
	for examined := 0; len(rooms) > 0; examined++ {
		n := rooms[0]
		if l.found == l.req.Limit || examined == maxNotificationsExamined {
			return n.newest() + 1, nil
		}
		if len(n.rows) == 0 {
			if err := l.page(n); err != nil {
				return 0, err
			}
			if len(n.rows) == 0 {
				heap.Pop(&rooms)
			} else {
				heap.Fix(&rooms, 0)
			}
			continue
		}
		row := n.rows[0]
		n.rows = n.rows[1:]
		n.Newest = row.Pos - 1 // a bound
		if err := l.add(n, &row); err != nil {
			return 0, err
		}
		if len(n.rows) == 0 && n.ended {
			heap.Pop(&rooms)
		} else {
			heap.Fix(&rooms, 0)
		}
	}
	return 0, nil
}

// rooms returns the rooms that the user is in, with the invitations among them that the user wants to see.
func (l *notificationList) rooms(before int64) (byNewest, error) {
	joined, err := l.tx.NotifiedRooms(l.userNID, before)
	if err != nil {
		return nil, err
	}
	all := make(byNewest, 0, len(joined))
	for _, r := range joined {
		all = append(all, &notified{NotifiedRoom: r, upto: before})
	}
	invites, err := l.tx.InvitesOf(l.userNID, before, maxNotifications)
	if err != nil {
		return nil, err
	}
	for _, m := range invites {
		e, err := l.tx.EventByNID(m.EventNID)
		if err != nil {
			return nil, err
		}
		unwanted, err := l.sight.unwanted(e.Sender)
		if err != nil {
			return nil, err
		}
		if unwanted {
			continue
		}
		n := &notified{NotifiedRoom: store.NotifiedRoom{RoomNID: m.RoomNID, Since: m.Pos - 1, Newest: m.Pos}, upto: m.Pos + 1}
		all = append(all, n)
	}
	return all, nil
}

// page reads the next rows of a room, and what belongs to the room before its first.
func (l *notificationList) page(n *notified) error {
	if n.v == nil {
		if err := l.enter(n); err != nil {
			return err
		}
	}
	rows, err := l.tx.PushActionsBefore(n.RoomNID, n.Since, n.upto, notificationsPage)
	if err != nil {
		return err
	}
	n.rows, n.ended = rows, len(rows) < notificationsPage
	if len(rows) > 0 {
		n.upto = rows[len(rows)-1].Pos
	}
	return nil
}

func (l *notificationList) enter(n *notified) error {
	room, err := l.tx.RoomByNID(n.RoomNID)
	if err != nil {
		return err
	}
	if n.seat, err = l.tx.Membership(n.RoomNID, l.req.User); err != nil {
		return err
	}
	n.room, n.said = room.RoomID, make(map[int64]bool)
	n.v = newViewer(l.sight, n.RoomNID, n.seat, room.StateID)
	n.marks, err = l.tx.ReadMarks(n.RoomNID, l.userNID)
	return err
}

// add appends a row's event if it concerns the user.
func (l *notificationList) add(n *notified, row *store.PushActions) error {
	if row.SenderNID == l.userNID {
		n.said[row.ThreadNID] = true
		return nil
	}
	outcome := row.Of(l.userNID)
	wanted := store.Notifies
	if l.req.Highlights {
		wanted = store.Highlights
	}
	if outcome&wanted == 0 {
		return nil
	}
	events, err := l.tx.TimelineAfter(n.RoomNID, row.Pos, row.Pos, 1)
	if err != nil || len(events) == 0 {
		return err
	}
	seen, err := n.v.see(events[0])
	if err != nil || seen == nil {
		return err
	}
	read, err := l.isRead(n, row)
	if err != nil {
		return err
	}
	actions, err := l.tx.OutcomeActions(outcome)
	if err != nil {
		return err
	}
	l.found++
	return l.write(n, seen, actions, read)
}

// isRead tells whether the user has read an event.
func (l *notificationList) isRead(n *notified, row *store.PushActions) (bool, error) {
	thread := threadMain
	if row.ThreadNID != 0 {
		var err error
		if thread, err = l.tx.Text(row.ThreadNID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
	}
	if row.Pos <= max(n.marks[""], n.marks[thread]) || n.said[row.ThreadNID] {
		return true, nil
	}
	said, err := l.tx.LastSaid(n.RoomNID, row.ThreadNID, l.userNID, row.Pos, math.MaxInt64)
	if said > 0 {
		n.said[row.ThreadNID] = true
	}
	return said > 0, err
}

func (l *notificationList) write(n *notified, e *store.Event, actions string, read bool) error {
	render := renderer{v: n.v, device: l.req.Device, nowTS: l.sight.nowTS, omitRoomID: true}
	if err := render.gather([]*store.Event{e}); err != nil {
		return err
	}
	dst := append(append(appendComma(l.out), `{"actions":`...), actions...)
	dst, err := render.appendEvent(append(dst, `,"event":`...), e)
	if err != nil {
		return err
	}
	dst = strconv.AppendBool(append(dst, `,"read":`...), read)
	dst = appendString(append(dst, `,"room_id":`...), n.room)
	dst = strconv.AppendInt(append(dst, `,"ts":`...), e.OriginServerTS, 10)
	l.out = append(dst, '}')
	return nil
}

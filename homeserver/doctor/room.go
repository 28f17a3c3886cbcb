package doctor

import (
	"fmt"
	"maps"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// What is kept in memory of a room, beside some 80 bytes of each of its events.
const (
	eventBatch  = 256     // events examined at a time
	maxIDs      = 20_000  // integers of events, by id
	maxPDUBytes = 8 << 20 // auth events
	maxEntries  = 500_000 // entries of state sets
	maxResolved = 1000    // resolutions
)

// roomCheck is the examination of one room.
type roomCheck struct {
	*checker
	tx      *store.Tx
	row     store.AuditRoom
	version *event.RoomVersion

	places   []store.AuditPlace     // of all events, in the order of their integers
	hasNext  []bool                 // by place: an event of the timeline comes after it
	behind   map[int][]int          // by place, of events that are not in the timeline: the places of those that they come after
	members  []membership           // by place: what a member event says
	unread   map[int64]bool         // events whose JSON is of no use
	gaps     map[int64][]id.EventID // as the table says
	tips     []int64                // as the table says, in order
	edges    map[edge]int           // those that were seen in one of the table (1) and the JSON (-1) alone
	create   *event.PDU
	memberID int64 // the integer of m.room.member, 0 when there is none
	purged   bool  // history is missing

	ids      cache[id.EventID, int64]
	pdus     cache[int64, *known]
	resolved cache[string, store.StateHash]
	sets     stateSets
}

// edge goes from an event to one that comes after it.
type edge struct{ prev, event int64 }

// checkRoom examines a room.
func (c *checker) checkRoom(tx *store.Tx, row store.AuditRoom) error {
	c.report.Checked.Rooms++
	version, err := event.LookupVersion(row.Version)
	if err != nil {
		c.report.add(KindRoom, Fault{RoomID: row.RoomID, Table: "rooms", Text: err.Error()})
		return nil
	}
	r := &roomCheck{
		checker: c, tx: tx, row: row, version: version,
		unread: make(map[int64]bool), gaps: make(map[int64][]id.EventID), edges: make(map[edge]int), behind: make(map[int][]int),
		ids:      cache[id.EventID, int64]{limit: maxIDs},
		pdus:     cache[int64, *known]{limit: maxPDUBytes},
		resolved: cache[string, store.StateHash]{limit: maxResolved},
	}
	for _, step := range []func() error{r.load, r.checkSets, r.checkEvents, r.checkEdges, r.checkTips, r.checkCurrent, r.checkUnusedSets} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// load reads where the events of the room stand.
func (r *roomCheck) load() (err error) {
	if r.places, err = r.tx.AuditPlaces(r.row.NID); err != nil {
		return err
	}
	if len(r.places) == 0 {
		r.fault(KindRoom, "rooms", 0, "the room has no events")
	}
	r.hasNext, r.members = make([]bool, len(r.places)), make([]membership, len(r.places))
	err = r.tx.AuditGaps(r.row.NID, func(nid int64, prev id.EventID) { r.gaps[nid] = append(r.gaps[nid], prev) })
	if err != nil {
		return err
	}
	r.purged = len(r.gaps) > 0
	for _, nid := range slices.Sorted(maps.Keys(r.gaps)) {
		switch i, ok := r.find(nid); {
		case !ok:
			r.fault(KindGaps, "gaps", 0, "event %d is marked, and is not in the room", nid)
		case r.places[i].Status&store.Outlier != 0:
			r.fault(KindGaps, "gaps", nid, "the event is marked, although nothing is known of where it stands")
		}
	}
	r.memberID, err = r.tx.LookupNID(event.TypeMember)
	return err
}

// find returns where in places an event is.
func (r *roomCheck) find(nid int64) (int, bool) {
	return slices.BinarySearchFunc(r.places, nid, func(p store.AuditPlace, nid int64) int {
		switch {
		case p.NID < nid:
			return -1
		case p.NID > nid:
			return 1
		}
		return 0
	})
}

// fault reports what is wrong with the room, or with one of its events, which nid names.
func (r *roomCheck) fault(kind Kind, table string, nid int64, format string, args ...any) {
	r.report.add(kind, Fault{RoomID: r.row.RoomID, EventID: r.eventID(nid), Table: table, Text: fmt.Sprintf(format, args...)})
}

// eventID names an event for people. It is called for few.
func (r *roomCheck) eventID(nid int64) id.EventID {
	if nid == 0 {
		return ""
	}
	rows, err := r.tx.AuditEvents([]int64{nid})
	if err != nil || len(rows) == 0 {
		return id.EventID(fmt.Sprintf("(number %d)", nid))
	}
	return rows[0].EventID
}

// nidsOf returns the integers of events; those that are not there are left out.
func (r *roomCheck) nidsOf(refs []id.EventID) (map[id.EventID]int64, error) {
	found := make(map[id.EventID]int64, len(refs))
	var asked []id.EventID
	for _, ref := range refs {
		if nid, ok := r.ids.get(ref); ok {
			found[ref] = nid
		} else if _, twice := found[ref]; !twice {
			found[ref] = 0
			asked = append(asked, ref)
		}
	}
	nids, err := r.tx.NIDsOf(asked)
	for _, ref := range asked {
		if nid, ok := nids[ref]; ok {
			found[ref] = nid
			r.ids.put(ref, nid, 1)
		} else {
			delete(found, ref)
		}
	}
	return found, err
}

// known is an event that others are judged by.
type known struct {
	pdu      *event.PDU
	redacted bool
	rejected bool
}

// pdusOf returns events of the room by their integers. Those that are not there, or cannot be read, are left out.
func (r *roomCheck) pdusOf(nids []int64) (map[int64]*known, error) {
	found := make(map[int64]*known, len(nids))
	var asked []int64
	for _, nid := range nids {
		if found[nid] != nil {
			continue
		}
		if k, ok := r.pdus.get(nid); ok {
			found[nid] = k
		} else if _, here := r.find(nid); here && !r.unread[nid] {
			asked = append(asked, nid)
		}
	}
	slices.Sort(asked)
	rows, err := r.tx.AuditEvents(slices.Compact(asked))
	for _, row := range rows {
		if k := r.keep(row, nil); k != nil {
			found[row.NID] = k
		}
	}
	return found, err
}

// keep remembers an event that others may be judged by. pdu is nil when it was not parsed yet.
func (r *roomCheck) keep(row store.AuditEvent, pdu *event.PDU) *known {
	if pdu == nil {
		var err error
		if pdu, err = event.ParseTrusted(r.version, row.EventID, row.JSON); err != nil {
			return nil
		}
	}
	i, _ := r.find(row.NID)
	k := &known{pdu: pdu, redacted: row.RedactedBy != 0, rejected: r.places[i].Status&store.Rejected != 0}
	r.pdus.put(row.NID, k, len(row.JSON)+512)
	return k
}

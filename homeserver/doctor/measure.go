package doctor

import (
	"cmp"
	"slices"

	"causeway/homeserver/store"
)

// perEvent are the tables whose size goes with the number of events, beside their JSON; perSet and perPlace likewise.
var (
	perEvent = []string{"events", "edges", "event_auth", "redacted_originals"}
	perSet   = []string{"state_sets", "room_states"}
	perPlace = []string{"current_state", "memberships"}
)

// measure finds out what takes how much space.
func (r *Report) measure(tx *store.Tx) (err error) {
	if r.Tables, err = tx.AuditTables(); err != nil {
		return err
	}
	if r.Space, err = tx.AuditSpace(r.Tables); err != nil {
		return err
	}
	if r.Server, err = tx.AuditServer(); err != nil {
		return err
	}
	sizes, err := tx.AuditRoomSizes()
	if err != nil {
		return err
	}
	names := make(map[int64]store.AuditRoom)
	var after int64
	for {
		some, err := tx.AuditRooms(after, roomBatch)
		if err != nil {
			return err
		}
		if len(some) == 0 {
			break
		}
		for _, room := range some {
			names[room.NID], after = room, room.NID
		}
	}
	var sum store.AuditRoomSize
	for _, s := range sizes {
		sum.Events += s.Events
		sum.EventBytes += s.EventBytes + s.OriginalsBytes
		sum.StateSets += s.StateSets
		sum.StateSetBytes += s.StateSetBytes
		sum.CurrentState += s.CurrentState + s.Members
	}
	for _, s := range sizes {
		r.Rooms = append(r.Rooms, RoomSize{
			RoomID: names[s.NID].RoomID, Events: s.Events, EventBytes: s.EventBytes, StateSets: s.StateSets, StateSetBytes: s.StateSetBytes,
			CurrentState: s.CurrentState, JoinedMembers: s.JoinedMembers, Members: s.Members, OriginalsBytes: s.OriginalsBytes,
			Bytes: s.EventBytes + s.OriginalsBytes + r.share(perEvent, sum.EventBytes, s.Events, sum.Events) +
				s.StateSetBytes + r.share(perSet, sum.StateSetBytes, s.StateSets, sum.StateSets) +
				r.share(perPlace, 0, s.CurrentState+s.Members, sum.CurrentState),
		})
	}
	slices.SortFunc(r.Rooms, func(a, b RoomSize) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.RoomID, b.RoomID))
	})
	return nil
}

// share divides what tables take beyond contents, by the number of things that a room has in them.
func (r *Report) share(tables []string, contents, part, whole int64) int64 {
	if whole == 0 {
		return 0
	}
	var bytes int64
	for _, t := range r.Tables {
		if slices.Contains(tables, t.Name) {
			bytes += t.Bytes + t.IndexBytes
		}
	}
	return int64(float64(max(0, bytes-contents)) * float64(part) / float64(whole))
}

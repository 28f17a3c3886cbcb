package usersync

import (
	"context"
	"errors"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// Bounds on reports.
const (
	maxReasonBytes = 4000
	maxReports     = 1000 // of one user that are kept
	minScore       = -100 // "most offensive", in the words of the specification before version 1.18
)

// Report is what a user tells the operator.
type Report struct {
	Reason string
	Score  *int64 // -100 to 0; nil for none
}

func (r Report) check() error {
	if len(r.Reason) > maxReasonBytes {
		return matrixError(413, "M_TOO_LARGE", "The reason is longer than %d bytes", maxReasonBytes)
	}
	if strings.ContainsRune(r.Reason, 0) {
		return matrixError(400, "M_INVALID_PARAM", "The reason cannot hold a NUL")
	}
	if r.Score != nil && (*r.Score < minScore || *r.Score > 0) {
		return matrixError(400, "M_INVALID_PARAM", "The score must be from %d to 0", minScore)
	}
	return nil
}

// ReportEvent keeps a report of an event that the user sees, in a room that the user is in. The error is 404 M_NOT_FOUND otherwise,
// without telling which. Client-Server API, "Reporting Content".
func (s *Service) ReportEvent(ctx context.Context, user id.UserID, roomID id.RoomID, eventID id.EventID, in Report) error {
	if err := in.check(); err != nil {
		return err
	}
	var about store.Report
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, e, err := s.openEvent(tx, user, roomID, eventID)
		if err != nil {
			return err
		}
		if m, err := tx.Membership(r.roomNID, user); err != nil || m.Membership != event.MembershipJoin {
			return errors.Join(err, matrixError(404, "M_NOT_FOUND", "There is no event %s in %s, or you may not see it", eventID, roomID))
		}
		about = store.Report{RoomNID: r.roomNID, EventID: e.EventID, User: e.Sender}
		return nil
	})
	if err != nil {
		return err
	}
	return s.keepReport(ctx, user, about, in, roomID)
}

// ReportRoom keeps a report of a room. One of a room that is not here is thrown away: who asks does not learn which rooms there are.
func (s *Service) ReportRoom(ctx context.Context, user id.UserID, roomID id.RoomID, in Report) error {
	if err := in.check(); err != nil {
		return err
	}
	var roomNID int64
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		roomNID, err = tx.RoomNID(roomID)
		return err
	})
	if err != nil || roomNID == 0 {
		return err
	}
	return s.keepReport(ctx, user, store.Report{RoomNID: roomNID}, in, roomID)
}

// ReportUser keeps a report of a user, whether there is such a user or not. Errors: M_INVALID_PARAM for what is no user id.
func (s *Service) ReportUser(ctx context.Context, user, about id.UserID, in Report) error {
	if err := in.check(); err != nil {
		return err
	}
	if !event.ValidUserID(string(about)) {
		return matrixError(400, "M_INVALID_PARAM", "%q is not a user id", about)
	}
	return s.keepReport(ctx, user, store.Report{User: about}, in, "")
}

// keepReport stores a report and tells the operator that there is one. What it says is in the database alone.
func (s *Service) keepReport(ctx context.Context, user id.UserID, about store.Report, in Report, roomID id.RoomID) error {
	about.TS, about.By, about.Reason, about.Score = s.now().UnixMilli(), user, in.Reason, in.Score
	if err := s.db.Write(ctx, func(tx *store.Tx) error { return tx.InsertReport(&about, maxReports) }); err != nil {
		return err
	}
	log := zerolog.Ctx(ctx).Warn().Stringer("user_id", user)
	if roomID != "" {
		log = log.Stringer("room_id", roomID)
	}
	if about.EventID != "" {
		log = log.Stringer("event_id", about.EventID)
	}
	if about.User != "" {
		log = log.Stringer("about", about.User)
	}
	log.Msg("A user reported something")
	return nil
}

package clientapi

import (
	"context"
	"errors"

	"causeway/homeserver/ephemeral"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/room"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// serviceFeatures are the flags of what application services alone can use. What they stand for is there for every service. But bridges made
// with mautrix-go that see a flag rely on what else the server that it comes from does, and do worse here with it than without:
//
//   - With com.beeper.batch_sending they store the ids that they gave the events of a batch, which are not those that the events have here. A
//     bridge in this binary takes those of the answer.
//   - With com.beeper.room_create_autojoin_invites they do not have people join the rooms that they make, for whom they may act under another
//     registration. Here those alone are joined whom the service that makes the room may act for.
func serviceFeatures(builtIn, coversAll bool) map[string]bool {
	features := map[string]bool{"com.beeper.arbitrary_member_change": true}
	if builtIn {
		features["com.beeper.batch_sending"] = true
	}
	if builtIn || coversAll {
		features["com.beeper.room_create_autojoin_invites"] = true
	}
	return features
}

type batchSendResponse struct {
	EventIDs []id.EventID `json:"event_ids"`
}

// batchSend is POST /com.beeper.backfill/rooms/{roomId}/batch_send. It counts as one request a chunk of events.
func (a *API) batchSend(ctx context.Context, r *httpapi.Request, in room.BatchRequest) (batchSendResponse, error) {
	who := a.byService(r)
	r.Charge(len(in.Events) / eventsPerRequest)
	ids, err := a.Rooms.SendBatch(ctx, who, roomID(r), in)
	if err != nil {
		return batchSendResponse{}, err
	}
	return batchSendResponse{ids}, a.readBatch(ctx, who, roomID(r), in.MarkReadBy, ids)
}

// eventsPerRequest is how many events of a batch count as one request more.
const eventsPerRequest = 100

// readBatch records that a user has read a batch. Of a user whom the service may not act for, or who is not in the room, it records nothing:
// the events are there all the same.
func (a *API) readBatch(ctx context.Context, who room.By, roomID id.RoomID, user id.UserID, ids []id.EventID) error {
	if user == "" || who.ActFor(ctx, user) != nil {
		return nil
	}
	err := a.Receipts.SetRead(ctx, user, roomID, ephemeral.Mark{Type: ephemeral.TypeRead, EventID: ids[len(ids)-1]})
	var refused mautrix.RespError
	if errors.As(err, &refused) {
		return nil
	}
	return err
}

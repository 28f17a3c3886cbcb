package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// typeTag is the account data that holds a room's tags (Client-Server API, "Room Tagging").
const typeTag = "m.tag"

// maxTagBytes bounds the name of a tag. Client-Server API, "Room Tagging".
const maxTagBytes = 255

// Tags are the tags of a room, by their names.
type Tags map[string]json.RawMessage

// Tags returns the tags that a user has given a room, none for a room that the server does not know. Errors: M_INVALID_PARAM.
func (s *Service) Tags(ctx context.Context, user id.UserID, room id.RoomID) (Tags, error) {
	if err := checkRoomID(room); err != nil {
		return nil, err
	}
	var content json.RawMessage
	err := s.db.View(ctx, func(tx *store.Tx) error {
		roomNID, err := roomNID(tx, room)
		if err == nil {
			content, err = tx.AccountData(user, roomNID, typeTag)
		}
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return parseTags(content), nil
}

// parseTags reads the content of m.tag. What is not understood is no tags: clients may write it as account data.
func parseTags(content json.RawMessage) Tags {
	var in struct {
		Tags Tags `json:"tags"`
	}
	if len(content) == 0 || json.Unmarshal(content, &in) != nil || in.Tags == nil {
		return Tags{}
	}
	return in.Tags
}

// SetTag gives a room a tag, with info, an object. Errors: M_INVALID_PARAM, M_BAD_JSON, M_TOO_LARGE, M_NOT_FOUND for a room with
// which the user has nothing to do.
func (s *Service) SetTag(ctx context.Context, user id.UserID, room id.RoomID, tag string, info json.RawMessage) error {
	if err := checkTag(tag); err != nil {
		return err
	}
	if err := checkOrder(info); err != nil {
		return err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, info); err != nil {
		return matrixError(http.StatusBadRequest, "M_NOT_JSON", "The body is not JSON")
	}
	return s.changeTags(ctx, user, room, func(tags Tags) { tags[tag] = compact.Bytes() })
}

// DeleteTag takes a tag from a room. It is no error when the room does not have it. Errors: as those of SetTag.
func (s *Service) DeleteTag(ctx context.Context, user id.UserID, room id.RoomID, tag string) error {
	if err := checkTag(tag); err != nil {
		return err
	}
	return s.changeTags(ctx, user, room, func(tags Tags) { delete(tags, tag) })
}

func (s *Service) changeTags(ctx context.Context, user id.UserID, room id.RoomID, change func(Tags)) error {
	if err := checkRoomID(room); err != nil {
		return err
	}
	return s.changeAccountData(ctx, user, room, typeTag, func(old json.RawMessage) (json.RawMessage, error) {
		tags := parseTags(old)
		before := len(tags)
		change(tags)
		if len(old) == 0 && before == len(tags) {
			return nil, nil // nothing was taken from nothing
		}
		return json.Marshal(map[string]Tags{"tags": tags})
	})
}

func checkTag(tag string) error {
	if tag == "" || len(tag) > maxTagBytes || !storable(tag) {
		return invalidParam("A tag must be text of 1 to %d bytes", maxTagBytes)
	}
	return nil
}

// checkOrder refuses a place among the rooms that have the tag which is none: that must be a number from 0 to 1.
func checkOrder(info json.RawMessage) error {
	var in struct {
		Order *float64 `json:"order"`
	}
	if err := json.Unmarshal(info, &in); err != nil {
		return matrixError(http.StatusBadRequest, "M_BAD_JSON", "order must be a number")
	}
	if in.Order != nil && (*in.Order < 0 || *in.Order > 1) {
		return invalidParam("order must be a number from 0 to 1")
	}
	return nil
}

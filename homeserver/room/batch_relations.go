package room

import (
	"encoding/json"

	"maunium.net/go/mautrix/id"
)

// renameRelations gives the events that a content relates to their ids (Client-Server API, "Relationships format"). Content that is otherwise
// stays as it is.
func renameRelations(content json.RawMessage, rename func(id.EventID) id.EventID) (json.RawMessage, error) {
	var fields, relation map[string]json.RawMessage
	if json.Unmarshal(content, &fields) != nil || json.Unmarshal(fields["m.relates_to"], &relation) != nil || relation == nil {
		return content, nil
	}
	changed := renameIn(relation, rename)
	var reply map[string]json.RawMessage
	if json.Unmarshal(relation["m.in_reply_to"], &reply) == nil && renameIn(reply, rename) {
		raw, err := json.Marshal(reply)
		if err != nil {
			return nil, err
		}
		relation["m.in_reply_to"], changed = raw, true
	}
	if !changed {
		return content, nil
	}
	raw, err := json.Marshal(relation)
	if err != nil {
		return nil, err
	}
	fields["m.relates_to"] = raw
	return json.Marshal(fields)
}

func renameIn(fields map[string]json.RawMessage, rename func(id.EventID) id.EventID) bool {
	var name id.EventID
	if json.Unmarshal(fields["event_id"], &name) != nil || name == "" {
		return false
	}
	real := rename(name)
	if real == name {
		return false
	}
	raw, err := json.Marshal(real)
	if err != nil {
		return false
	}
	fields["event_id"] = raw
	return true
}

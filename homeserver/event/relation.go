package event

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"maunium.net/go/mautrix/id"
)

// The relationship types that servers treat in a way of their own. Client-Server API, "Relationship types".
const (
	RelThread     = "m.thread"
	RelReplace    = "m.replace"
	RelReference  = "m.reference"
	RelAnnotation = "m.annotation"
)

// TypeEncrypted is that of events whose content servers cannot read.
const TypeEncrypted = "m.room.encrypted"

// Relation says how an event relates to another, its parent.
type Relation struct {
	Type   string // rel_type
	Parent id.EventID
	// Fit is false for what lacks something that its type asks for, as far as the event alone tells: an annotation has a key, and a
	// replacement is no state event and has m.new_content, unless that is encrypted.
	Fit bool
	// KeyHash stands for the key of an annotation: equal keys have equal ones. It is 0 for other types.
	KeyHash int64
}

// Relation returns the relation that an event's content describes, and whether there is a well-formed one. A rich reply is none.
// Client-Server API, "Forming relationships between events".
func (p *PDU) Relation() (Relation, bool) {
	about := Field(p.Content, "m.relates_to")
	if about == nil {
		return Relation{}, false
	}
	relType, _ := Text(Field(about, "rel_type"))
	parent, _ := Text(Field(about, "event_id"))
	if relType == "" || !storableID(relType) || len(parent) < 2 || parent[0] != '$' || !storableID(parent) {
		return Relation{}, false
	}
	r := Relation{Type: relType, Parent: id.EventID(parent), Fit: true}
	switch relType {
	case RelAnnotation:
		var key string
		if key, r.Fit = Text(Field(about, "key")); r.Fit {
			r.KeyHash = keyHash(key)
		}
	case RelReplace:
		r.Fit = !p.IsState() && (p.Type == TypeEncrypted || isObject(Field(p.Content, "m.new_content")))
	}
	return r, true
}

// storableID reports whether s is short enough for an identifier, and text that every database takes.
func storableID(s string) bool { return len(s) <= MaxFieldBytes && strings.IndexByte(s, 0) < 0 }

// keyHash returns a number for a key, never 0. Who finds two keys with the same number cannot use both; it harms nobody else.
func keyHash(key string) int64 {
	sum := sha256.Sum256([]byte(key))
	return int64(binary.BigEndian.Uint64(sum[:8]) | 1)
}

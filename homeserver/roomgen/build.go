package roomgen

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// keyID is the name of every server's key.
const keyID = "ed25519:gen"

// object is the content of an event.
type object = map[string]any

// draft is what the sender decides of an event.
type draft struct {
	sender   id.UserID
	evType   string
	stateKey *string
	content  object
	redacts  id.EventID
	vouching string // the server that signs besides the sender's, when not ""
}

// wire is an event as JSON.
type wire struct {
	AuthEvents     []any             `json:"auth_events"`
	Content        json.RawMessage   `json:"content"`
	Depth          int64             `json:"depth"`
	EventID        string            `json:"event_id,omitempty"`
	Hashes         map[string]string `json:"hashes,omitempty"`
	Origin         string            `json:"origin,omitempty"`
	OriginServerTS int64             `json:"origin_server_ts"`
	PrevEvents     []any             `json:"prev_events"`
	Redacts        string            `json:"redacts,omitempty"`
	RoomID         id.RoomID         `json:"room_id,omitempty"`
	Sender         id.UserID         `json:"sender"`
	Signatures     json.RawMessage   `json:"signatures,omitempty"`
	StateKey       *string           `json:"state_key,omitempty"`
	Type           string            `json:"type"`
}

// smith makes the events of one room.
type smith struct {
	room   *Room
	quick  bool          // without signatures
	opaque func() string // a text that was not used before
}

// site is where in the room an event stands.
type site struct {
	prev, auth []id.EventID
	depth, ts  int64
}

// build makes the event d at s, signed by its sender's server and the one that vouches for it.
func (m *smith) build(d *draft, s site) (*event.PDU, error) {
	w, err := m.compose(d, s)
	if err != nil {
		return nil, err
	}
	if m.quick {
		obj, err := hashed(m.room.Version, w)
		if err != nil {
			return nil, err
		}
		return parse(m.room.Version, d, obj)
	}
	server := event.ServerOf(d.sender)
	obj, err := m.signed(w, server)
	if err != nil {
		return nil, err
	}
	p, err := parse(m.room.Version, d, obj)
	if err != nil || d.vouching == "" || d.vouching == server {
		return p, err
	}
	return p.Sign(m.room.Keys[d.vouching])
}

// signed returns w as JSON, with its content hash and the signature of server.
func (m *smith) signed(w wire, server string) ([]byte, error) {
	obj, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	return event.HashAndSign(m.room.Version, obj, m.room.Keys[server])
}

// hashed returns w as JSON, with its content hash and no signature. Server-Server API, "Calculating the content hash for an event".
func hashed(v *event.RoomVersion, w wire) ([]byte, error) {
	obj, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	if obj, err = v.Canonical(obj); err != nil {
		return nil, err
	}
	hash := sha256.Sum256(obj)
	w.Hashes = map[string]string{"sha256": base64.RawStdEncoding.EncodeToString(hash[:])}
	w.Signatures = json.RawMessage("{}")
	return json.Marshal(w)
}

func parse(v *event.RoomVersion, d *draft, obj []byte) (*event.PDU, error) {
	p, err := event.Parse(v, obj)
	if err != nil {
		return nil, fmt.Errorf("make %s of %s: %w", d.evType, d.sender, err)
	}
	return p, nil
}

// compose returns the event without hashes and signatures.
func (m *smith) compose(d *draft, s site) (wire, error) {
	v := m.room.Version
	content := d.content
	if d.redacts != "" && v.RedactsInContent {
		content = object{"redacts": d.redacts}
	}
	raw, err := json.Marshal(content)
	if err != nil {
		return wire{}, fmt.Errorf("make %s: %w", d.evType, err)
	}
	w := wire{
		AuthEvents: m.references(s.auth), PrevEvents: m.references(s.prev), Content: raw, Depth: s.depth, OriginServerTS: s.ts,
		RoomID: m.room.RoomID, Sender: d.sender, StateKey: d.stateKey, Type: d.evType,
	}
	if d.redacts != "" && !v.RedactsInContent {
		w.Redacts = string(d.redacts)
	}
	if v.EventIDs == event.EventIDGiven {
		w.Origin = event.ServerOf(d.sender)
		w.EventID = "$" + m.opaque() + ":" + w.Origin
	}
	return w, nil
}

// references returns ids as the version writes them.
func (m *smith) references(ids []id.EventID) []any {
	list := make([]any, 0, len(ids))
	for _, ref := range ids {
		if !m.room.Version.ReferencePairs {
			list = append(list, ref)
			continue
		}
		hash := base64.RawStdEncoding.EncodeToString(make([]byte, sha256.Size))
		if p := m.room.PDU(ref); p != nil {
			hash = p.ReferenceHash()
		}
		list = append(list, []any{ref, map[string]string{"sha256": hash}})
	}
	return list
}

// authEvents returns the auth events of d in state s. Server-Server API, "Auth events selection".
func authEvents(v *event.RoomVersion, d *draft, s State) ([]id.EventID, error) {
	content, err := json.Marshal(d.content)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", d.evType, err)
	}
	var ids []id.EventID
	for _, k := range eventauth.Needed(v, d.sender, d.evType, d.stateKey, content) {
		if eventID, ok := s[k]; ok {
			ids = append(ids, eventID)
		}
	}
	return ids, nil
}

// newKey returns the signing key of a server.
func newKey(seed uint64, server string) *event.Key {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", seed, server))
	return &event.Key{ServerName: server, KeyID: keyID, Private: ed25519.NewKeyFromSeed(sum[:])}
}

package event

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// Builder is what the sender decides of an event.
type Builder struct {
	RoomID   id.RoomID // ignored for the create event where the room ID is its hash
	Sender   id.UserID
	Type     string
	StateKey *string         // nil for a message event
	Content  json.RawMessage // any JSON object
	// Redacts is the target of an m.room.redaction. Build writes it where the version keeps it: at the top level, or into the
	// content in place of what stands there. When empty, the content is left alone.
	Redacts                id.EventID
	PrevEvents, AuthEvents []id.EventID
	// Depth is one more than that of the deepest of PrevEvents (RoomVersion.NextDepth). One over the limit becomes the limit.
	Depth          int64
	OriginServerTS int64 // in milliseconds
	StickyMS       int64 // for how long the event is sticky (MSC4354), in milliseconds; 0 when it is not

	// ReferenceHashes has the ReferenceHash of each of PrevEvents and AuthEvents, for versions 1 and 2 only.
	ReferenceHashes map[id.EventID]string
}

// Build makes the event: canonical JSON, content hash, signature and ID. Nothing of the content is dropped. Whether the event is
// allowed is not asked here.
//
// Errors: ErrBadJSON for content that is not an object or has no canonical form, ErrBadEvent, ErrFieldTooLong, ErrTooLarge, ErrBadKey.
// Server-Server API, "Adding hashes and signatures to outgoing events".
func (b *Builder) Build(v *RoomVersion, key *Key) (*PDU, error) {
	if err := key.check(); err != nil {
		return nil, err
	}
	if len(b.Content) > maxRawBytes {
		return nil, ErrTooLarge
	}
	p := &PDU{
		Version: v, RoomID: b.RoomID, Sender: b.Sender, Type: b.Type, StateKey: b.StateKey,
		PrevEvents: b.PrevEvents, AuthEvents: b.AuthEvents, Depth: b.Depth, OriginServerTS: b.OriginServerTS, StickyMS: b.StickyMS,
	}
	if err := b.prepare(p, key); err != nil {
		return nil, err
	}
	if err := b.write(p, key); err != nil {
		return nil, err
	}
	return p, nil
}

// prepare checks the fields of p and settles those that need no hashing.
func (b *Builder) prepare(p *PDU, key *Key) error {
	v := p.Version
	if v.RoomIDIsCreateHash && p.Type == TypeCreate {
		p.RoomID = ""
	}
	if v.EventIDs == EventIDGiven {
		p.EventID = randomEventID(key.ServerName)
	}
	p.Depth = min(p.Depth, v.maxDepth())
	if p.OriginServerTS > maxCanonicalInt || p.OriginServerTS < -maxCanonicalInt {
		return fmt.Errorf("%w: origin_server_ts out of range", ErrBadEvent)
	}
	return p.checkFields(true)
}

// write makes the JSON of p, and with it the ID.
func (b *Builder) write(p *PDU, key *Key) error {
	scratch := buildScratches.Get().(*buildScratch)
	defer buildScratches.Put(scratch)
	d := draft{out: make([]byte, 0, len(b.Content)+1024), scratch: scratch}
	if err := d.head(b, p); err != nil {
		return err
	}
	if err := d.tail(b, p); err != nil {
		return err
	}
	d.hash()
	d.essential(p)
	d.sign(key)
	if len(d.out) > MaxEventBytes {
		return ErrTooLarge
	}
	p.json, p.Content = d.out, json.RawMessage(d.out[d.content:d.contentEnd:d.contentEnd])
	b.finish(p, sha256.Sum256(scratch.essential))
	return nil
}

// finish sets the fields of p that follow from its JSON.
func (b *Builder) finish(p *PDU, referenceHash [sha256.Size]byte) {
	if p.Version.EventIDs != EventIDGiven {
		p.EventID = eventID(p.Version, referenceHash)
	}
	p.roomIDGiven = p.RoomID != ""
	p.deriveRoomID()
	if p.Type != TypeRedaction {
		return
	}
	p.Redacts = b.Redacts
	if p.Version.RedactsInContent {
		target, _ := Text(Field(p.Content, "redacts"))
		p.Redacts = id.EventID(target)
	}
}

func (b *Builder) appendContent(dst []byte, v *RoomVersion) ([]byte, error) {
	start := len(dst)
	dst, err := appendCanonical(dst, b.Content, v.numbers(), 1)
	if err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	if dst[start] != '{' {
		return nil, fmt.Errorf("%w: content is not an object", ErrBadJSON)
	}
	if b.Redacts == "" || b.Type != TypeRedaction || !v.RedactsInContent {
		return dst, nil
	}
	content := withMember(nil, dst[start:], "redacts", appendString(nil, b.Redacts))
	return append(dst[:start], content...), nil
}

func (b *Builder) appendReferences(dst []byte, v *RoomVersion, ids []id.EventID) ([]byte, error) {
	dst = append(dst, '[')
	for i, ref := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		if !v.ReferencePairs {
			dst = appendString(dst, ref)
			continue
		}
		hash, ok := b.ReferenceHashes[ref]
		if !ok {
			return nil, fmt.Errorf("%w: no reference hash of %s", ErrBadEvent, clip(string(ref)))
		}
		dst = append(dst, '[')
		dst = appendString(dst, ref)
		dst = append(dst, `,{"sha256":`...)
		dst = appendString(dst, hash)
		dst = append(dst, `}]`...)
	}
	return append(dst, ']'), nil
}

// randomEventID makes an ID for the versions whose events are named by their server. Version 1, "Event IDs".
func randomEventID(serverName string) id.EventID {
	var opaque [18]byte
	rand.Read(opaque[:]) // never fails
	return id.EventID("$" + base64.RawURLEncoding.EncodeToString(opaque[:]) + ":" + serverName)
}

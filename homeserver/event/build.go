package event

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

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
	Depth, OriginServerTS  int64 // OriginServerTS in milliseconds

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
		PrevEvents: b.PrevEvents, AuthEvents: b.AuthEvents, Depth: b.Depth, OriginServerTS: b.OriginServerTS,
	}
	if err := b.prepare(p, key); err != nil {
		return nil, err
	}
	return p, b.write(p, key)
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
	if p.Depth > maxCanonicalInt || p.OriginServerTS > maxCanonicalInt || p.OriginServerTS < -maxCanonicalInt {
		return fmt.Errorf("%w: depth or origin_server_ts out of range", ErrBadEvent)
	}
	return p.checkFields()
}

// buildScratch is the memory of one Build that does not outlive it.
type buildScratch struct{ tail, essential []byte }

var buildScratches = sync.Pool{New: func() any { return new(buildScratch) }}

// write makes the JSON of p in one pass: its keys are known, so only the content has to be put into order. The event is
//
//	{"auth_events":…,"content":…,"depth":…  "hashes":…  "origin_server_ts":… … "sender":…  "signatures":…  "state_key":…,"type":…}
//
// with the pieces before hashes in out, and those after it in the scratch's tail until the hash is known.
func (b *Builder) write(p *PDU, key *Key) error {
	s := buildScratches.Get().(*buildScratch)
	defer buildScratches.Put(s)

	out := make([]byte, 0, len(b.Content)+1024)
	out = append(out, `{"auth_events":`...)
	out, err := b.appendReferences(out, p.Version, b.AuthEvents)
	if err != nil {
		return err
	}
	authEnd := len(out)
	out = append(out, `,"content":`...)
	contentStart := len(out)
	if out, err = b.appendContent(out, p.Version); err != nil {
		return err
	}
	contentEnd := len(out)
	out = append(out, `,"depth":`...)
	out = strconv.AppendInt(out, p.Depth, 10)
	if p.Version.EventIDs == EventIDGiven {
		out = append(out, `,"event_id":`...)
		out = appendString(out, p.EventID)
	}
	headEnd := len(out)

	tail, redactsStart, redactsEnd, senderEnd, err := b.appendTail(s.tail[:0], p)
	if err != nil {
		return err
	}
	s.tail = tail

	hash := sha256.New()
	hash.Write(out)
	hash.Write(tail)
	var sum [sha256.Size]byte
	out = append(out, `,"hashes":{"sha256":"`...)
	out = base64.RawStdEncoding.AppendEncode(out, hash.Sum(sum[:0]))
	out = append(out, `"}`...)

	// What a redaction leaves, hashes included, is what is signed and what the ID is the hash of.
	essential := append(s.essential[:0], out[:authEnd]...)
	essential = append(essential, `,"content":`...)
	essential = append(essential, redactContent(p.Version, p.Type, out[contentStart:contentEnd])...)
	essential = append(essential, out[contentEnd:headEnd]...)
	essential = append(essential, out[headEnd:]...)
	essential = append(essential, tail[:redactsStart]...)
	essential = append(essential, tail[redactsEnd:]...)
	s.essential = essential

	out = append(out, tail[:senderEnd]...)
	out = append(out, `,"signatures":{`...)
	out = appendString(out, key.ServerName)
	out = append(out, `:{`...)
	out = appendString(out, key.KeyID)
	out = append(out, `:"`...)
	out = base64.RawStdEncoding.AppendEncode(out, ed25519.Sign(key.Private, essential))
	out = append(out, `"}}`...)
	out = append(out, tail[senderEnd:]...)
	if len(out) > MaxEventBytes {
		return ErrTooLarge
	}
	p.json, p.Content = out, json.RawMessage(out[contentStart:contentEnd:contentEnd])
	b.finish(p, sha256.Sum256(essential))
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
	dst, err := appendCanonical(dst, b.Content, v.StrictJSON, 1)
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

// appendTail appends the members from origin_server_ts on. It returns where redacts lies among them, and where sender ends.
func (b *Builder) appendTail(dst []byte, p *PDU) (tail []byte, redactsStart, redactsEnd, senderEnd int, err error) {
	dst = append(dst, `,"origin_server_ts":`...)
	dst = strconv.AppendInt(dst, p.OriginServerTS, 10)
	dst = append(dst, `,"prev_events":`...)
	if dst, err = b.appendReferences(dst, p.Version, p.PrevEvents); err != nil {
		return nil, 0, 0, 0, err
	}
	redactsStart = len(dst)
	if p.Type == TypeRedaction && b.Redacts != "" {
		if err := checkSigil("redacts", string(b.Redacts), '$'); err != nil {
			return nil, 0, 0, 0, err
		}
		if !p.Version.RedactsInContent {
			dst = append(dst, `,"redacts":`...)
			dst = appendString(dst, b.Redacts)
		}
	}
	redactsEnd = len(dst)
	if p.RoomID != "" {
		dst = append(dst, `,"room_id":`...)
		dst = appendString(dst, p.RoomID)
	}
	dst = append(dst, `,"sender":`...)
	dst = appendString(dst, p.Sender)
	senderEnd = len(dst)
	if p.StateKey != nil {
		dst = append(dst, `,"state_key":`...)
		dst = appendString(dst, *p.StateKey)
	}
	dst = append(dst, `,"type":`...)
	dst = appendString(dst, p.Type)
	return append(dst, '}'), redactsStart, redactsEnd, senderEnd, nil
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

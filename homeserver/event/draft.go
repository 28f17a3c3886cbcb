package event

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"sync"
)

// draft is an event on its way to being JSON. Its keys are known, so it is written in one pass, and only the content has to be put into
// order:
//
//	{"auth_events":…,"content":…,"depth":…  "hashes":…  "origin_server_ts":… … "sender":…  "signatures":…  "state_key":…,"type":…}
//
// What comes before hashes goes to out, what comes after it to the scratch until the hash is known. What a redaction leaves, hashes
// included, is what is signed and what the ID is the hash of. Server-Server API, "Adding hashes and signatures to outgoing events".
type draft struct {
	out     []byte
	scratch *buildScratch

	content, contentEnd                       int // positions in out
	stickyEnd, redacts, redactsEnd, senderEnd int // positions in scratch.tail, which begins with what is sticky
}

// buildScratch is the memory of a draft that does not outlive it.
type buildScratch struct{ tail, essential []byte }

var buildScratches = sync.Pool{New: func() any { return new(buildScratch) }}

// head writes what comes before hashes.
func (d *draft) head(b *Builder, p *PDU) (err error) {
	out := append(d.out, `{"auth_events":`...)
	if out, err = b.appendReferences(out, p.Version, p.AuthEvents); err != nil {
		return err
	}
	out = append(out, `,"content":`...)
	d.content = len(out)
	if out, err = b.appendContent(out, p.Version); err != nil {
		return err
	}
	d.contentEnd = len(out)
	out = append(out, `,"depth":`...)
	out = strconv.AppendInt(out, p.Depth, 10)
	if p.Version.EventIDs == EventIDGiven {
		out = append(out, `,"event_id":`...)
		out = appendString(out, p.EventID)
	}
	d.out = out
	return nil
}

// tail writes what comes after hashes, but for the signatures.
func (d *draft) tail(b *Builder, p *PDU) (err error) {
	if p.Type == TypeRedaction && b.Redacts != "" {
		if err := checkSigil("redacts", string(b.Redacts), '$', true); err != nil {
			return err
		}
	}
	tail := appendSticky(d.scratch.tail[:0], p.StickyMS)
	d.stickyEnd = len(tail)
	tail = append(tail, `,"origin_server_ts":`...)
	tail = strconv.AppendInt(tail, p.OriginServerTS, 10)
	tail = append(tail, `,"prev_events":`...)
	if tail, err = b.appendReferences(tail, p.Version, p.PrevEvents); err != nil {
		return err
	}
	d.redacts = len(tail)
	if p.Type == TypeRedaction && b.Redacts != "" && !p.Version.RedactsInContent {
		tail = append(tail, `,"redacts":`...)
		tail = appendString(tail, b.Redacts)
	}
	d.redactsEnd = len(tail)
	if p.RoomID != "" {
		tail = append(tail, `,"room_id":`...)
		tail = appendString(tail, p.RoomID)
	}
	tail = append(tail, `,"sender":`...)
	tail = appendString(tail, p.Sender)
	d.senderEnd = len(tail)
	if p.StateKey != nil {
		tail = append(tail, `,"state_key":`...)
		tail = appendString(tail, *p.StateKey)
	}
	tail = append(tail, `,"type":`...)
	tail = appendString(tail, p.Type)
	d.scratch.tail = append(tail, '}')
	return nil
}

// hash adds the content hash of head and tail to out.
func (d *draft) hash() {
	hash := sha256.New()
	hash.Write(d.out)
	hash.Write(d.scratch.tail)
	var sum [sha256.Size]byte
	d.out = append(d.out, `,"hashes":{"sha256":"`...)
	d.out = base64.RawStdEncoding.AppendEncode(d.out, hash.Sum(sum[:0]))
	d.out = append(d.out, `"}`...)
}

// essential puts together what is signed.
func (d *draft) essential(p *PDU) {
	s := append(d.scratch.essential[:0], d.out[:d.content]...)
	s = append(s, redactContent(p.Version, p.Type, d.out[d.content:d.contentEnd])...)
	s = append(s, d.out[d.contentEnd:]...)
	s = append(s, d.scratch.tail[d.stickyEnd:d.redacts]...)
	d.scratch.essential = append(s, d.scratch.tail[d.redactsEnd:]...)
}

// sign completes out.
func (d *draft) sign(key *Key) {
	out := append(d.out, d.scratch.tail[:d.senderEnd]...)
	out = append(out, `,"signatures":{`...)
	out = appendString(out, key.ServerName)
	out = append(out, `:{`...)
	out = appendString(out, key.KeyID)
	out = append(out, `:"`...)
	out = base64.RawStdEncoding.AppendEncode(out, ed25519.Sign(key.Private, d.scratch.essential))
	out = append(out, `"}}`...)
	d.out = append(out, d.scratch.tail[d.senderEnd:]...)
}

package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/id"
)

// encodeBase64 is Matrix's unpadded base64. Appendices, "Unpadded Base64".
func encodeBase64(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// decodeBase64 reads base64 of either alphabet, padded or not: not every server that is out there writes what the specification says.
func decodeBase64(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	if strings.ContainsAny(s, "-_") {
		return base64.RawURLEncoding.DecodeString(s)
	}
	return base64.RawStdEncoding.DecodeString(s)
}

// eventID returns the ID of an event of version v with the given reference hash. Room versions, "Event IDs".
func eventID(v *RoomVersion, hash [sha256.Size]byte) id.EventID {
	var buf [hashIDBytes]byte
	buf[0] = '$'
	if v.EventIDs == EventIDHashStd {
		base64.RawStdEncoding.Encode(buf[1:], hash[:])
	} else {
		base64.RawURLEncoding.Encode(buf[1:], hash[:])
	}
	return id.EventID(buf[:])
}

// referenceHash covers the essential fields of p. Server-Server API, "Calculating the reference hash for an event".
func (p *PDU) referenceHash() [sha256.Size]byte {
	return sha256.Sum256(p.essential())
}

// ReferenceHash returns the reference hash of p in unpadded base64, as it stands in the reference pairs of versions 1 and 2.
func (p *PDU) ReferenceHash() string {
	hash := p.referenceHash()
	return encodeBase64(hash[:])
}

// essential returns the part of p that is signed and that the reference hash covers.
func (p *PDU) essential() []byte {
	return appendRedacted(make([]byte, 0, len(p.json)), p.Version, p.Type, p.json, false)
}

// contentHash covers all of obj, a canonical event, but its hashes and signatures. Server-Server API, "Calculating the content hash
// for an event".
func contentHash(obj []byte) [sha256.Size]byte {
	return sha256.Sum256(appendFiltered(make([]byte, 0, len(obj)), obj, func(key, value []byte) []byte {
		switch string(key) {
		case "hashes", "signatures", "unsigned":
			return nil
		}
		return value
	}))
}

// VerifyHash returns ErrBadHash when the content hash of p is not that of its content. Such an event was redacted, and is to be
// treated as p.Redact() would have it: Server-Server API, "Validating hashes and signatures on received events".
func (p *PDU) VerifyHash() error {
	claimed, _ := Text(Field(Field(p.json, "hashes"), "sha256"))
	want, err := decodeBase64(claimed)
	if err != nil {
		return ErrBadHash
	}
	if got := contentHash(p.json); !bytes.Equal(got[:], want) {
		return ErrBadHash
	}
	return nil
}

// HashAndSign returns raw, a JSON object that is an event or the beginnings of one, in canonical form with its content hash and a
// signature by key added in place of the hashes it had. It does not ask whether the event is complete: it serves for events that
// another server has drafted, whose result is then given to Parse. Errors: ErrBadJSON, ErrBadKey. Server-Server API, "Adding hashes
// and signatures to outgoing events".
func HashAndSign(v *RoomVersion, raw []byte, key *Key) ([]byte, error) {
	if err := key.check(); err != nil {
		return nil, err
	}
	obj, err := v.Canonical(raw)
	if err != nil {
		return nil, err
	}
	if !isObject(obj) {
		return nil, fmt.Errorf("%w: not an object", ErrBadJSON)
	}
	hash := contentHash(obj)
	hashes := withMember(nil, []byte("{}"), "sha256", appendString(nil, encodeBase64(hash[:])))
	obj = withMember(nil, obj, "hashes", hashes)
	evType, _ := Text(Field(obj, "type"))
	return addSignature(obj, key, key.signature(appendRedacted(nil, v, evType, obj, false))), nil
}

package event

import (
	"crypto/ed25519"
	"fmt"
	"strings"
)

// signingAlgorithm is the only one there is. Appendices, "Signing Details".
const signingAlgorithm = "ed25519:"

// Key is a key that a server signs with.
type Key struct {
	ServerName string
	KeyID      string // "ed25519:" and a name of the server's choice
	Private    ed25519.PrivateKey
}

func (k *Key) check() error {
	if len(k.Private) != ed25519.PrivateKeySize || !strings.HasPrefix(k.KeyID, signingAlgorithm) || k.ServerName == "" {
		return ErrBadKey
	}
	return nil
}

// signature returns the signature of message in base64.
func (k *Key) signature(message []byte) string {
	return encodeBase64(ed25519.Sign(k.Private, message))
}

// SignJSON returns obj, a JSON object, in canonical form with a signature by key added. Signatures that are there already stay, but
// for one of the same key; unsigned stays and is not covered. Errors: ErrBadJSON, ErrBadKey. Appendices, "Signing Details".
func SignJSON(obj []byte, key *Key) ([]byte, error) {
	if err := key.check(); err != nil {
		return nil, err
	}
	full, err := CanonicalJSON(obj)
	if err != nil {
		return nil, err
	}
	if !isObject(full) {
		return nil, fmt.Errorf("%w: not an object", ErrBadJSON)
	}
	return addSignature(full, key, key.signature(signedPart(full))), nil
}

// VerifyJSON returns ErrBadSignature unless obj, a JSON object, carries a signature by serverName's key keyID, made with pub. Other
// errors: ErrBadJSON. Appendices, "Checking for a Signature".
func VerifyJSON(obj []byte, serverName, keyID string, pub ed25519.PublicKey) error {
	full, err := CanonicalJSON(obj)
	if err != nil {
		return err
	}
	if !isObject(full) {
		return fmt.Errorf("%w: not an object", ErrBadJSON)
	}
	return verify(signedPart(full), Field(full, "signatures"), serverName, keyID, pub)
}

// VerifySignature returns ErrBadSignature unless p carries a signature by serverName's key keyID, made with pub. Whether the key was
// valid at the time is for the caller to know (RoomVersion.KeyValidity). Server-Server API, "Validating hashes and signatures on
// received events".
func VerifySignature(p *PDU, serverName, keyID string, pub ed25519.PublicKey) error {
	return verify(p.essential(), Field(p.json, "signatures"), serverName, keyID, pub)
}

// SignatureKeyIDs returns the IDs of the keys that p claims to be signed with by serverName, of algorithms that are known.
func (p *PDU) SignatureKeyIDs(serverName string) []string {
	return keyIDs(Field(p.json, "signatures"), serverName)
}

// Sign returns p with a signature by key added. It is how a server vouches for an event that another one made: an invite to one of
// its users, a join that it authorised. The ID stays the same. Errors: ErrBadKey, ErrTooLarge.
func (p *PDU) Sign(key *Key) (*PDU, error) {
	if err := key.check(); err != nil {
		return nil, err
	}
	signed := addSignature(p.json, key, key.signature(p.essential()))
	if len(signed) > MaxEventBytes {
		return nil, ErrTooLarge
	}
	return ParseTrusted(p.Version, p.EventID, signed)
}

// SignedPart returns what of obj, a canonical object, signatures cover: it without "signatures" and "unsigned". Appendices, "Signing Details".
func SignedPart(obj []byte) []byte { return signedPart(obj) }

// AddSignature returns obj, a canonical object, with a signature in base64 that was made by keyID of name, a server or a user. Signatures
// that are there already stay, but for one of the same key.
func AddSignature(obj []byte, name, keyID, signature string) []byte {
	return addSignature(obj, &Key{ServerName: name, KeyID: keyID}, signature)
}

// WithSignatures returns obj, a canonical object, with signatures, another, in the place of those that it has.
func WithSignatures(obj, signatures []byte) []byte {
	return withMember(make([]byte, 0, len(obj)+len(signatures)+len(`"signatures":,`)), obj, "signatures", signatures)
}

// signedPart returns what of obj, a canonical object, a signature covers.
func signedPart(obj []byte) []byte {
	return withoutMember(withoutMember(obj, "signatures"), "unsigned")
}

// addSignature returns obj, a canonical object, with sig under signatures.
func addSignature(obj []byte, key *Key, sig string) []byte {
	all := Field(obj, "signatures")
	if !isObject(all) {
		all = []byte("{}")
	}
	server := quotedInside(key.ServerName)
	own := Field(all, server)
	if !isObject(own) {
		own = []byte("{}")
	}
	own = withMember(nil, own, quotedInside(key.KeyID), appendString(nil, sig))
	all = withMember(nil, all, server, own)
	return withMember(make([]byte, 0, len(obj)+len(all)), obj, "signatures", all)
}

// quotedInside returns s as it stands between the quotes of a canonical string.
func quotedInside(s string) string {
	quoted := appendString(nil, s)
	return string(quoted[1 : len(quoted)-1])
}

func keyIDs(signatures []byte, serverName string) []string {
	own := Field(signatures, quotedInside(serverName))
	if !isObject(own) {
		return nil
	}
	var ids []string
	for k := range Members(own) {
		if keyID := Unescape(k); strings.HasPrefix(keyID, signingAlgorithm) {
			ids = append(ids, keyID)
		}
	}
	return ids
}

func verify(message, signatures []byte, serverName, keyID string, pub ed25519.PublicKey) error {
	claimed, ok := Text(Field(Field(signatures, quotedInside(serverName)), quotedInside(keyID)))
	if !ok {
		return fmt.Errorf("%w: none by %s %s", ErrBadSignature, clip(serverName), clip(keyID))
	}
	sig, err := decodeBase64(claimed)
	if err != nil || len(pub) != ed25519.PublicKeySize || !strings.HasPrefix(keyID, signingAlgorithm) ||
		!ed25519.Verify(pub, message, sig) {
		return fmt.Errorf("%w: by %s %s", ErrBadSignature, clip(serverName), clip(keyID))
	}
	return nil
}

package event

import (
	"crypto/ed25519"
	"fmt"
	"slices"
)

// maxServerSignatures is how many signatures an event may carry of one server whose signature it needs. Honest ones carry one, or
// two while a server changes its key.
const maxServerSignatures = 32

// RequiredSigners returns the names of the servers that must have signed p, each once:
//   - that of the sender, except for an invite in return for a third-party invite: whoever gave the invited user's server that
//     invite vouches for it (Server-Server API, "Validating hashes and signatures on received events");
//   - that of the event ID, in versions 1 and 2;
//   - that of join_authorised_via_users_server, in versions 8 and later (rule 5.2 of the authorisation rules).
//
// A name is "" where the event names something that has no server; nobody can sign for that.
func (p *PDU) RequiredSigners() []string {
	var servers []string
	add := func(server string) {
		if !slices.Contains(servers, server) {
			servers = append(servers, server)
		}
	}
	sender := ServerOf(p.Sender)
	if !p.redeemsThirdPartyInvite() {
		add(sender)
	}
	if p.Version.EventIDSignature {
		if server := ServerOf(p.EventID); server != sender {
			add(server)
		}
	}
	if p.Version.Restricted && p.Type == TypeMember && p.ContentValue("join_authorised_via_users_server") != nil {
		via := ""
		if ValidUserID(string(p.AuthorisedVia())) {
			via = ServerOf(string(p.AuthorisedVia()))
		}
		add(via)
	}
	return servers
}

// redeemsThirdPartyInvite reports whether p is an invite in return for one to a third-party identifier.
func (p *PDU) redeemsThirdPartyInvite() bool {
	return p.Type == TypeMember && p.Membership() == MembershipInvite && p.ContentValue("third_party_invite") != nil
}

// KeyLookup finds a public key of a server, such as "ed25519:1", and the end of its validity in milliseconds; for an old key that is
// its expired_ts. Where it lies more than seven days ahead, it is for the KeyLookup to cut it short (room version 5, "Signing key
// validity period").
type KeyLookup func(server, keyID string) (pub ed25519.PublicKey, validUntilTS int64, ok bool)

// CheckSignatures returns ErrBadSignature unless each of the RequiredSigners has signed p with a key that keys knows, and no signature
// of theirs by such a key is wrong. Signatures by keys that are unknown, or in versions 5 and later that were not valid any more at
// p's origin_server_ts, count for nothing; so do those of other servers. keys is asked for at most maxServerSignatures keys of each server.
//
// Server-Server API, "Checks performed on receipt of a PDU", step 2, and "Validating hashes and signatures on received events".
func CheckSignatures(p *PDU, keys KeyLookup) error {
	servers := p.RequiredSigners()
	if len(servers) == 0 {
		return nil
	}
	message, signatures := p.essential(), Field(p.json, "signatures")
	for _, server := range servers {
		if err := checkServerSignatures(p, server, message, signatures, keys); err != nil {
			return err
		}
	}
	return nil
}

func checkServerSignatures(p *PDU, server string, message, signatures []byte, keys KeyLookup) error {
	ids := keyIDs(signatures, server)
	if server == "" || len(ids) > maxServerSignatures {
		return fmt.Errorf("%w: none or too many by %q", ErrBadSignature, clip(server))
	}
	signed := false
	for _, keyID := range ids {
		pub, validUntilTS, ok := keys(server, keyID)
		if !ok || p.Version.KeyValidity && validUntilTS < p.OriginServerTS {
			continue
		}
		if err := verify(message, signatures, server, keyID, pub); err != nil {
			return err
		}
		signed = true
	}
	if !signed {
		return fmt.Errorf("%w: none by a known key of %s", ErrBadSignature, clip(server))
	}
	return nil
}

// SignedByAny reports whether obj, a canonical JSON object, carries a signature that one of keys made, whatever servers and keys it
// names. Of all combinations it tries at most limit.
func SignedByAny(obj []byte, keys []ed25519.PublicKey, limit int) bool {
	all := Field(obj, "signatures")
	if !isObject(all) {
		return false
	}
	message := signedPart(obj)
	for _, own := range Members(all) {
		if !isObject(own) {
			continue
		}
		for _, value := range Members(own) {
			claimed, _ := Text(value)
			sig, err := decodeBase64(claimed)
			if err != nil || len(sig) != ed25519.SignatureSize {
				continue
			}
			for _, key := range keys {
				if limit--; limit < 0 {
					return false
				}
				if len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, sig) {
					return true
				}
			}
		}
	}
	return false
}

package eventauth

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// maxInviteVerifications bounds the signatures that are tried for one third-party invite, each with each key. An honest one has one
// or two of either; an event has room for hundreds.
const maxInviteVerifications = 1000

// invite are rules 5.4.
func (c *checker) invite(target id.UserID) error {
	// 5.4.1
	if third := c.p.ContentValue("third_party_invite"); third != nil {
		return c.redeem(target, third)
	}
	// 5.4.2
	if c.membership(c.p.Sender) != event.MembershipJoin {
		return reject("5.4.2", "The sender is not in the room")
	}
	// 5.4.3
	switch c.membership(target) {
	case event.MembershipJoin:
		return reject("5.4.3", "The user is in the room already")
	case event.MembershipBan:
		return reject("5.4.3", "The user is banned from the room")
	}
	// 5.4.4
	if c.senderLevel >= c.levels.Invite {
		return nil
	}
	return reject("5.4.5", "The sender's power level does not suffice to invite")
}

// redeem are rules 5.4.1: an invite in return for one to a third-party identifier, such as an email address.
func (c *checker) redeem(target id.UserID, third []byte) error {
	// 5.4.1.1
	if c.membership(target) == event.MembershipBan {
		return reject("5.4.1.1", "The user is banned from the room")
	}
	// 5.4.1.2
	signed := event.Field(third, "signed")
	if signed == nil {
		return reject("5.4.1.2", "The third-party invite is not signed")
	}
	// 5.4.1.3
	mxid, hasUser := event.Text(event.Field(signed, "mxid"))
	token, hasToken := event.Text(event.Field(signed, "token"))
	if !hasUser || !hasToken {
		return reject("5.4.1.3", "The third-party invite names no user or no token")
	}
	// 5.4.1.4
	if mxid != string(target) {
		return reject("5.4.1.4", "The third-party invite is for another user")
	}
	// 5.4.1.5
	issued := c.state.Get(StateKey{event.TypeThirdPartyInvite, token})
	if issued == nil {
		return reject("5.4.1.5", "There is no such third-party invite")
	}
	// 5.4.1.6
	if issued.Sender != c.p.Sender {
		return reject("5.4.1.6", "The third-party invite was made by another user")
	}
	// 5.4.1.7
	if event.SignedByAny(signed, inviteKeys(issued), maxInviteVerifications) {
		return nil
	}
	return reject("5.4.1.8", "The third-party invite has no valid signature")
}

// inviteKeys returns the public keys of an m.room.third_party_invite event. Rules 5.4.1.7.1 and 5.4.1.7.2.
func inviteKeys(issued *event.PDU) []ed25519.PublicKey {
	var keys []ed25519.PublicKey
	add := func(value []byte) {
		if key := publicKey(value); key != nil {
			keys = append(keys, key)
		}
	}
	add(issued.ContentValue("public_key"))
	if list := issued.ContentValue("public_keys"); len(list) > 0 && list[0] == '[' {
		for e := range event.Elements(list) {
			add(event.Field(e, "public_key"))
		}
	}
	return keys
}

// publicKey reads a key in unpadded base64 of either alphabet, and returns nil for anything else.
func publicKey(value []byte) ed25519.PublicKey {
	s, ok := event.Text(value)
	if !ok {
		return nil
	}
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	key, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil
	}
	return key
}

package doctor

import (
	"errors"
	"fmt"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// finding is a fault of one event.
type finding struct {
	kind Kind
	text string
}

// inspection is what an event by itself shows.
type inspection struct {
	pdu       *event.PDU // nil when nothing can be made of the event
	findings  []finding
	verified  int64 // signatures
	unchecked int64 // signatures by keys that nobody here knows
}

func (in *inspection) find(kind Kind, format string, args ...any) {
	in.findings = append(in.findings, finding{kind, fmt.Sprintf(format, args...)})
}

// inspect examines an event without a look at any other. It is pure, and may run beside others.
func (c *checker) inspect(v *event.RoomVersion, roomID id.RoomID, row *store.AuditEvent, texts map[int64]string) (in inspection) {
	pdu, err := event.Parse(v, row.JSON)
	switch {
	case errors.Is(err, event.ErrTooLarge), errors.Is(err, event.ErrFieldTooLong):
		in.find(KindLimits, "%s", err)
		return in
	case err != nil:
		in.find(KindJSON, "%s", err)
		return in
	case string(pdu.JSON()) != string(row.JSON):
		in.find(KindJSON, "it is not in canonical form")
		return in
	case pdu.EventID != row.EventID:
		in.find(KindEventID, "the id of what is stored is %s", pdu.EventID)
		return in
	}
	in.pdu = pdu
	in.compareColumns(roomID, row, texts)
	pruned, err := pdu.Redact()
	if err != nil {
		in.find(KindJSON, "it cannot be redacted: %s", err)
		return in
	}
	isPruned := string(pruned.JSON()) == string(pdu.JSON())
	if row.RedactedBy != 0 && !isPruned {
		in.find(KindRedaction, "it was redacted, and its content is still there")
	}
	// An event whose hash was wrong when it came has been pruned, and is not marked as redacted.
	intact := pdu.VerifyHash() == nil
	if !isPruned && !intact {
		in.find(KindContentHash, "the content does not have the hash that the event names")
	}
	c.checkSignatures(&in, row.RedactedBy != 0 || !intact)
	return in
}

// compareColumns compares the event with its row.
func (in *inspection) compareColumns(roomID id.RoomID, row *store.AuditEvent, texts map[int64]string) {
	pdu := in.pdu
	var differ []string
	text := func(nid int64, want string) bool {
		got, ok := texts[nid]
		return ok && got == want
	}
	for _, column := range []struct {
		name string
		same bool
	}{
		{"room_nid", pdu.RoomID == roomID},
		{"type_nid", text(row.TypeNID, pdu.Type)},
		{"state_key_nid", pdu.StateKey == nil && row.StateKeyNID == 0 || pdu.StateKey != nil && text(row.StateKeyNID, *pdu.StateKey)},
		{"sender_nid", text(row.SenderNID, string(pdu.Sender))},
		{"depth", pdu.Depth == row.Depth},
		{"origin_server_ts", pdu.OriginServerTS == row.OriginServerTS},
	} {
		if !column.same {
			differ = append(differ, column.name)
		}
	}
	if len(differ) > 0 {
		in.find(KindColumns, "the event says something else than its %s", strings.Join(differ, ", "))
	}
}

// checkSignatures verifies the signatures that the event must carry, as far as the keys are known. Whether a key was valid at the time
// was asked when the event came.
func (c *checker) checkSignatures(in *inspection, pruned bool) {
	pdu := in.pdu
	if pruned && pdu.Type == event.TypeMember && pdu.Membership() == event.MembershipInvite && !pdu.Version.Redaction.MemberThirdPartySign {
		return // It may have been an invite in return for a third-party invite, which the sender's server has not signed.
	}
	for _, server := range pdu.RequiredSigners() {
		ids := pdu.SignatureKeyIDs(server)
		if len(ids) == 0 {
			in.find(KindSignature, "%s has not signed it", server)
			continue
		}
		known := false
		for _, keyID := range ids[:min(len(ids), maxKeys)] {
			if c.Keys == nil {
				break
			}
			pub, ok := c.Keys(server, keyID)
			if !ok {
				continue
			}
			known = true
			if err := event.VerifySignature(pdu, server, keyID, pub); err != nil {
				in.find(KindSignature, "%s", err)
			}
		}
		if known {
			in.verified++
		} else {
			in.unchecked++
		}
	}
}

// maxKeys bounds the keys of one server that are asked for, for one event.
const maxKeys = 32

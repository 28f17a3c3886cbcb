//go:build goexperiment.jsonv2 || go1.27

package eventauth_test

import (
	"errors"
	"slices"
	"strings"

	"maunium.net/go/mautrix/federation/eventauth"

	"causeway/homeserver/event"
	ours "causeway/homeserver/eventauth"
)

// differences are those between our rules and those of mautrix-go 0.31, with what the specification says. The first that fits
// explains a trial. Rule numbers are those of the trial's room version.
var differences = []struct {
	name string
	fits func(tr trial) bool
}{
	{
		"rule 4 of versions 1 to 5 decides about m.room.aliases; they do not have it",
		func(tr trial) bool { return tr.w.v.AliasesAuth && tr.p.Type == event.TypeAliases },
	},
	{
		"rule 11 of versions 1 and 2 decides about m.room.redaction; they do not have it",
		func(tr trial) bool {
			return tr.w.v.RedactionAuth && tr.p.Type == event.TypeRedaction && tr.rule() == "11.3 of version 1"
		},
	},
	{
		"join_authorised_via_users_server means nothing before version 8; they want the signature (rule 4.2 of version 8)",
		func(tr trial) bool {
			return !tr.w.v.Restricted && tr.ours == nil && errors.Is(tr.theirs, eventauth.ErrNotSignedByAuthoriser)
		},
	},
	{
		"join_authorised_via_users_server that is no string names no server that could have signed (rule 4.2 of version 8); they skip it",
		func(tr trial) bool {
			_, text := event.Text(tr.p.ContentValue("join_authorised_via_users_server"))
			return errors.Is(tr.ours, event.ErrBadSignature) && !text && tr.theirs == nil
		},
	},
	{
		"the creator's first join asks for no more than the one previous event; they want no more than one auth event, too",
		func(tr trial) bool {
			return tr.ours == nil && tr.p.Membership() == event.MembershipJoin && len(tr.p.AuthEvents) > 1 &&
				len(tr.p.PrevEvents) == 1 && tr.p.PrevEvents[0] == tr.w.create.EventID
		},
	},
	{
		"the keys of a third-party invite are in m.room.third_party_invite; they look for them in the invite",
		func(tr trial) bool {
			return tr.ours == nil && errors.Is(tr.theirs, eventauth.ErrThirdPartyInviteNotSigned)
		},
	},
	{
		"true and false are no levels; they take them for 1 and 0 in versions before 10",
		func(tr trial) bool {
			return !tr.w.v.IntegerPowerLevels && (hasBoolean(tr.p) || hasBoolean(tr.levels()))
		},
	},
	{
		"the notifications of power levels are free for all in versions before 6; they check changes of them",
		func(tr trial) bool {
			return !tr.w.v.NotificationLevels && tr.ours == nil && errors.Is(tr.theirs, eventauth.ErrInvalidPowerChange) &&
				strings.Contains(tr.theirs.Error(), "change notifications.")
		},
	},
	{
		"the creator of versions before 11, who has level 100 without power levels, is content.creator; they take the sender",
		func(tr trial) bool {
			return tr.w.v.CreatorField && tr.levels() == nil && tr.w.create.ContentString("creator") != string(tr.w.create.Sender)
		},
	},
	{
		"the server of a user ID has a grammar (appendices, Server Name); they do not look at it",
		func(tr trial) bool {
			return tr.theirs == nil && strings.Contains(string(tr.p.Content), "@a:b_c") && slices.Contains([]string{"1.4", "10.1 to 10.3"}, tr.rule())
		},
	},
	{
		"a join rule that is no string is none of those that let anyone in; they take it for invite",
		func(tr trial) bool {
			rule := tr.auth.Get(ours.StateKey{Type: event.TypeJoinRules})
			return rule != nil && rule.JoinRule() == "" && tr.rule() == "5.3.7" && tr.theirs == nil
		},
	},
	{
		"the room version that a create event names must be known; they look at the one that they are given",
		func(tr trial) bool { return tr.rule() == "1.3" && tr.theirs == nil },
	},
}

// explanation returns the name of the difference that explains the trial, or "".
func (tr trial) explanation() string {
	for _, d := range differences {
		if d.fits(tr) {
			return d.name
		}
	}
	return ""
}

// rule returns the rule by which we rejected the event, or "".
func (tr trial) rule() string {
	var denied *ours.NotAllowed
	if errors.As(tr.ours, &denied) {
		return denied.Rule
	}
	return ""
}

func (tr trial) levels() *event.PDU {
	return tr.auth.Get(ours.StateKey{Type: event.TypePowerLevels})
}

// hasBoolean reports whether there is a boolean in the content of p, which may be nil.
func hasBoolean(p *event.PDU) bool {
	return p != nil && p.Type == event.TypePowerLevels && (strings.Contains(string(p.Content), ":true") || strings.Contains(string(p.Content), ":false"))
}

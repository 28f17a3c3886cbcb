package event

// Redact returns p as it is after a redaction: the same event ID, the keys that the version protects, and nothing else. Its content
// hash no longer matches; its signatures do. The result of redacting twice is that of redacting once. Client-Server API,
// "Redactions", and the room versions' "Redactions".
func (p *PDU) Redact() (*PDU, error) {
	return ParseTrusted(p.Version, p.EventID, appendRedacted(make([]byte, 0, len(p.json)), p.Version, p.Type, p.json, true))
}

// appendRedacted appends obj, a canonical event of type evType, to dst as it is after a redaction. Without signatures it is also
// what is signed and what the reference hash is made of: Server-Server API, "Calculating the reference hash for an event".
func appendRedacted(dst []byte, v *RoomVersion, evType string, obj []byte, signatures bool) []byte {
	return appendFiltered(dst, obj, func(key, value []byte) []byte {
		switch string(key) {
		case "event_id", "type", "room_id", "sender", "state_key", "hashes", "depth", "prev_events", "auth_events", "origin_server_ts":
			return value
		case "signatures":
			if signatures {
				return value
			}
		case "content":
			return redactContent(v, evType, value)
		case "origin", "membership", "prev_state":
			if v.Redaction.LegacyTopLevel {
				return value
			}
		}
		return nil
	})
}

// redactContent returns what is left of content.
func redactContent(v *RoomVersion, evType string, content []byte) []byte {
	if !isObject(content) {
		return content
	}
	if evType == TypeCreate && !v.Redaction.CreatorOnly {
		return content
	}
	keep := protectedContent[evType]
	if keep == nil {
		return []byte("{}")
	}
	return appendFiltered(nil, content, func(key, value []byte) []byte { return keep(&v.Redaction, string(key), value) })
}

// protectedContent says, for the types that keep some of their content, what becomes of a key's value; nil is to drop it.
var protectedContent = map[string]func(r *RedactionRules, key string, value []byte) []byte{
	TypeMember: func(r *RedactionRules, key string, value []byte) []byte {
		switch {
		case key == "membership", key == "join_authorised_via_users_server" && r.MemberAuthorisedVia:
			return value
		case key == "third_party_invite" && r.MemberThirdPartySign && isObject(value):
			// An object without signed stays, as an empty one: event IDs depend on it, and other servers do so.
			return appendFiltered(nil, value, func(key, value []byte) []byte {
				if string(key) == "signed" {
					return value
				}
				return nil
			})
		}
		return nil
	},
	TypeCreate: func(_ *RedactionRules, key string, value []byte) []byte { return keepIf(key == "creator", value) },
	TypeJoinRules: func(r *RedactionRules, key string, value []byte) []byte {
		return keepIf(key == "join_rule" || key == "allow" && r.JoinRulesAllow, value)
	},
	TypePowerLevels: func(r *RedactionRules, key string, value []byte) []byte {
		switch key {
		case "ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default":
			return value
		}
		return keepIf(key == "invite" && r.PowerLevelsInvite, value)
	},
	TypeAliases: func(r *RedactionRules, key string, value []byte) []byte {
		return keepIf(key == "aliases" && r.Aliases, value)
	},
	TypeHistoryVisibility: func(_ *RedactionRules, key string, value []byte) []byte {
		return keepIf(key == "history_visibility", value)
	},
	TypeRedaction: func(r *RedactionRules, key string, value []byte) []byte {
		return keepIf(key == "redacts" && r.ContentRedacts, value)
	},
}

func keepIf(keep bool, value []byte) []byte {
	if keep {
		return value
	}
	return nil
}

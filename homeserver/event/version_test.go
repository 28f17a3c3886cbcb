package event

import (
	"errors"
	"strings"
	"testing"
)

// TestVersions spells the table out, one flag at a time, as the versions in which it holds.
func TestVersions(t *testing.T) {
	for _, tc := range []struct {
		name string
		has  func(v *RoomVersion) bool
		want string
	}{
		{"given event IDs", func(v *RoomVersion) bool { return v.EventIDs == EventIDGiven }, "1 2"},
		{"standard base64 event IDs", func(v *RoomVersion) bool { return v.EventIDs == EventIDHashStd }, "3"},
		{"URL-safe event IDs", func(v *RoomVersion) bool { return v.EventIDs == EventIDHashURL }, "4 5 6 7 8 9 10 11 12"},
		{"reference pairs", func(v *RoomVersion) bool { return v.ReferencePairs }, "1 2"},
		{"strict JSON", func(v *RoomVersion) bool { return v.StrictJSON }, "6 7 8 9 10 11 12"},
		{"redacts in content", func(v *RoomVersion) bool { return v.RedactsInContent }, "11 12"},
		{"room ID is a hash", func(v *RoomVersion) bool { return v.RoomIDIsCreateHash }, "12"},
		{"limits are of bytes", func(v *RoomVersion) bool { return v.ByteLimits }, "11 12"},
		{"event ID's server signs", func(v *RoomVersion) bool { return v.EventIDSignature }, "1 2"},
		{"key validity", func(v *RoomVersion) bool { return v.KeyValidity }, "5 6 7 8 9 10 11 12"},
		{"redaction auth", func(v *RoomVersion) bool { return v.RedactionAuth }, "1 2"},
		{"creator field", func(v *RoomVersion) bool { return v.CreatorField }, "1 2 3 4 5 6 7 8 9 10"},
		{"privileged creators", func(v *RoomVersion) bool { return v.PrivilegedCreators }, "12"},
		{"aliases auth", func(v *RoomVersion) bool { return v.AliasesAuth }, "1 2 3 4 5"},
		{"notification levels", func(v *RoomVersion) bool { return v.NotificationLevels }, "6 7 8 9 10 11 12"},
		{"knock", func(v *RoomVersion) bool { return v.Knock }, "7 8 9 10 11 12"},
		{"restricted", func(v *RoomVersion) bool { return v.Restricted }, "8 9 10 11 12"},
		{"knock restricted", func(v *RoomVersion) bool { return v.KnockRestricted }, "10 11 12"},
		{"integer levels", func(v *RoomVersion) bool { return v.IntegerPowerLevels }, "10 11 12"},
		{"floating levels", func(v *RoomVersion) bool { return v.FloatingPowerLevels }, "1 2 3 4 5"},
		{"state resolution 1", func(v *RoomVersion) bool { return v.StateRes == StateResV1 }, "1"},
		{"state resolution 2", func(v *RoomVersion) bool { return v.StateRes == StateResV2 }, "2 3 4 5 6 7 8 9 10 11"},
		{"state resolution 2.1", func(v *RoomVersion) bool { return v.StateRes == StateResV21 }, "12"},
		{"redaction: legacy top level", func(v *RoomVersion) bool { return v.Redaction.LegacyTopLevel }, "1 2 3 4 5 6 7 8 9 10"},
		{"redaction: aliases", func(v *RoomVersion) bool { return v.Redaction.Aliases }, "1 2 3 4 5"},
		{"redaction: creator only", func(v *RoomVersion) bool { return v.Redaction.CreatorOnly }, "1 2 3 4 5 6 7 8 9 10"},
		{"redaction: allow", func(v *RoomVersion) bool { return v.Redaction.JoinRulesAllow }, "8 9 10 11 12"},
		{"redaction: authorised via", func(v *RoomVersion) bool { return v.Redaction.MemberAuthorisedVia }, "9 10 11 12"},
		{"redaction: third party", func(v *RoomVersion) bool { return v.Redaction.MemberThirdPartySign }, "11 12"},
		{"redaction: invite", func(v *RoomVersion) bool { return v.Redaction.PowerLevelsInvite }, "11 12"},
		{"redaction: redacts", func(v *RoomVersion) bool { return v.Redaction.ContentRedacts }, "11 12"},
	} {
		var have []string
		for _, v := range Versions() {
			if tc.has(v) {
				have = append(have, v.ID)
			}
		}
		if got := strings.Join(have, " "); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestLookupVersion(t *testing.T) {
	if v, err := LookupVersion(DefaultRoomVersion); err != nil || v.ID != DefaultRoomVersion {
		t.Errorf("default: got %+v, %v", v, err)
	}
	for _, name := range []string{"", "0", "13", "01", "1 ", "org.matrix.msc1234", strings.Repeat("1", 1000)} {
		if _, err := LookupVersion(name); !errors.Is(err, ErrUnknownVersion) || len(err.Error()) > 200 {
			t.Errorf("%.10q: got %v, want a short ErrUnknownVersion", name, err)
		}
	}
}

func TestValidUserID(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want bool
	}{
		{"@a:b", true},
		{"@:b", true},
		{"@UPPER case é:example.org:8448", true},
		{"@a:[::1]:8448", true},
		{"@a:1.2.3.4", true},
		{"@" + strings.Repeat("a", 252) + ":b", true},
		{"@" + strings.Repeat("a", 253) + ":b", false},
		{"", false},
		{"a:b", false},
		{"@a", false},
		{"@a:", false},
		{"@a:b:c", false},
		{"@a:b:", false},
		{"@a:b:123456", false},
		{"@a:b_c", false},
		{"@a:b/c", false},
		{"@a:[::1", false},
		{"@a:[]", false},
		{"@a:[::g]", false},
		{"@a:[::1]8448", false},
		{"@a\x00:b", false},
		{"@\xff:b", false},
	} {
		if got := ValidUserID(tc.in); got != tc.want {
			t.Errorf("%q: got %v, want %v", tc.in, got, tc.want)
		}
	}
}

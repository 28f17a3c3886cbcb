package irc

import (
	"slices"
	"strings"
)

const (
	// maxMask bounds the entries of lists that are read, in bytes, and maxEntries their number for a channel.
	maxMask    = 300
	maxEntries = 1000
	// byAccount begins our own form of an entry that is about an account, and not a mask; no mask has a space.
	byAccount = "account "
)

// The kinds of entries in the lists of a channel.
const (
	banEntry    = 'b'
	quietEntry  = 'q' // who may not speak
	exceptEntry = 'e'
)

// entryOf reads an entry of a list: what kind it is, and whom it is about as a mask or as byAccount. It returns false for
// what is neither, such as conditions that only the server can judge.
func (s *isupport) entryOf(mode byte, text string) (kind byte, who string, ok bool) {
	switch {
	case len(text) > maxMask || text == "":
		return 0, "", false
	case s.excepts != 0 && mode == s.excepts:
		kind = exceptEntry
	case mode == 'b' || mode == 'q':
		kind = mode
	default:
		return 0, "", false
	}
	if name, arg, extended := s.extban(text); extended {
		switch {
		case arg == "":
			return 0, "", false
		case s.isQuietBan(name) && kind == banEntry:
			return s.quietOf(arg)
		case s.isAccountBan(name):
			return kind, byAccount + arg, true
		}
		return 0, "", false
	}
	if at := strings.LastIndex(text, "$#"); at > 0 { // who is banned is forwarded to another channel
		text = text[:at]
	}
	return kind, wholeMask(text), true
}

// quietOf reads whom a quiet among the bans is about.
func (s *isupport) quietOf(arg string) (kind byte, who string, ok bool) {
	name, account, extended := s.extban(arg)
	switch {
	case !extended:
		return quietEntry, wholeMask(arg), true
	case account != "" && s.isAccountBan(name):
		return quietEntry, byAccount + account, true
	}
	return 0, "", false
}

// sameEntry reports whether two entries of a list mean the same. Some servers write what they were told in another way, such as
// "~quiet:" for "~q:".
func (s *isupport) sameEntry(mode byte, a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	kindA, whoA, okA := s.entryOf(mode, a)
	kindB, whoB, okB := s.entryOf(mode, b)
	return okA && okB && kindA == kindB && strings.EqualFold(whoA, whoB) && strings.Contains(a, "$#") == strings.Contains(b, "$#")
}

// extban takes an extended ban apart: "$a:carol", "~quiet:*!*@host", "m:*!*@host".
func (s *isupport) extban(text string) (name, arg string, ok bool) {
	if s.extbans == "" && s.extbanSign == "" {
		return "", "", false
	}
	rest, ok := strings.CutPrefix(text, s.extbanSign)
	if !ok {
		return "", "", false
	}
	name, arg, _ = strings.Cut(rest, ":")
	if s.extbanSign != "" {
		return name, arg, true
	}
	// Without a sign it is a letter of the list, or a word of letters, before a colon.
	known := len(name) == 1 && strings.Contains(s.extbans, name) || name == "account" || name == "mute"
	return name, arg, known && strings.Contains(rest, ":")
}

// isQuietBan and isAccountBan know the names of extended bans: those of UnrealIRCd (~), InspIRCd (no sign), and
// Solanum and Charybdis ($).
func (s *isupport) isQuietBan(name string) bool {
	switch s.extbanSign {
	case "":
		return name == "m" || name == "mute"
	case "~":
		return name == "q" || name == "quiet" || name == "m" && !strings.Contains(s.extbans, "q")
	}
	return false
}

func (s *isupport) isAccountBan(name string) bool {
	if s.extbanSign == "" {
		return name == "R" || name == "account"
	}
	return name == "a" || name == "account"
}

// accountBan is the entry that bans an account, or empty where there is none.
func (s *isupport) accountBan(account string) string {
	switch {
	case account == "" || strings.ContainsAny(account, " *?,:"):
		return ""
	case s.extbanSign == "" && strings.Contains(s.extbans, "R"):
		return "R:" + account
	case s.extbanSign != "" && strings.Contains(s.extbans, "a"):
		return s.extbanSign + "a:" + account
	}
	return ""
}

// quietFor is the change that forbids a mask to speak, and false where a network has none.
func (s *isupport) quietFor(mask string, on bool) (change, bool) {
	switch {
	case strings.Contains(s.lists, "q"):
		return change{on: on, mode: 'q', arg: mask, list: true}, true
	case s.extbanSign == "~" && strings.Contains(s.extbans, "q"):
		return change{on: on, mode: 'b', arg: "~q:" + mask, list: true}, true
	case s.extbanSign == "~" && strings.Contains(s.extbans, "m"), s.extbanSign == "" && strings.Contains(s.extbans, "m"):
		return change{on: on, mode: 'b', arg: s.extbanSign + "m:" + mask, list: true}, true
	}
	return change{}, false
}

// wholeMask makes nick!user@host of what may be a part of it.
func wholeMask(mask string) string {
	nick, rest, both := strings.Cut(mask, "!")
	switch {
	case both && strings.Contains(rest, "@"):
		return mask
	case both:
		return nick + "!" + rest + "@*"
	case strings.Contains(mask, "@"):
		return "*!" + mask
	}
	return mask + "!*@*"
}

// matchMask reports whether a mask with * and ? fits a text; both are folded. It looks back to the last * only, so its
// time is bounded by the product of the lengths.
func matchMask(mask, text string) bool {
	m, t, star, from := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case m < len(mask) && mask[m] == '*':
			star, from = m, t
			m++
		case m < len(mask) && (mask[m] == '?' || mask[m] == text[t]):
			m++
			t++
		case star >= 0:
			from++
			m, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(mask[m:], "*") == ""
}

// person is one of us in a channel, as far as lists can be about them.
type person struct{ rank, mask, account string }

// fits reports whether an entry is about somebody.
func (f Casemapping) fits(who string, p person) bool {
	if account, ok := strings.CutPrefix(who, byAccount); ok {
		return p.account != "" && matchMask(f.Fold(account), f.Fold(p.account))
	}
	return p.mask != "" && matchMask(f.Fold(who), f.Fold(p.mask))
}

// fitting are the entries that are about somebody.
func (f Casemapping) fitting(list []string, p person) []string {
	return slices.DeleteFunc(slices.Clone(list), func(who string) bool { return !f.fits(who, p) })
}

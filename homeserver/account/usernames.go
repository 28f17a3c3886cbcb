package account

import (
	"regexp"
	"strings"
)

// usernames are the rules for names that people choose.
type usernames struct {
	UsernameRules
	pattern  *regexp.Regexp // nil for any
	reserved map[string]bool
}

// newUsernames returns rules that have been validated.
func newUsernames(rules UsernameRules) *usernames {
	u := &usernames{UsernameRules: rules, reserved: make(map[string]bool)}
	if rules.Pattern != "" {
		u.pattern = regexp.MustCompile(`\A(?:` + rules.Pattern + `)\z`)
	}
	for _, name := range rules.Reserved {
		u.reserved[lower(name)] = true
	}
	return u
}

// check refuses what nobody may choose, before it is looked up whether somebody has it.
func (u *usernames) check(name string) error {
	switch {
	case len(name) < u.MinLength:
		return invalidUsername("User names have at least %d characters here", u.MinLength)
	case len(name) > maxUserIDBytes:
		return invalidUsername("The user ID would have more than %d characters", maxUserIDBytes)
	case u.reserved[name]:
		return invalidUsername("This name is reserved")
	case u.pattern != nil && !u.pattern.MatchString(name):
		return invalidUsername("User names have to be of another form here")
	}
	return nil
}

// lower returns a name in small letters, as those of users are. Letters beyond ASCII stay, and make it one that nobody can have: the sign for
// kelvin is no k, although strings.ToLower makes one of it, and who is called so elsewhere is not to come in as somebody who is there.
func lower(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// Package threepid holds what people are called elsewhere: email addresses and telephone numbers, in the one form in which they are
// compared, and the sessions in which somebody proves to read what comes to one (Client-Server API, "Adding Account Administrative Contact
// Information"; Identity Service API, "Establishing associations"). account, identity and clientapi call it. It does not know what a proof
// is good for beyond the name of its purpose, and mail sends what it has to say.
package threepid

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"causeway/homeserver/mail"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Errors of what is no address.
var (
	ErrBadEmail  = errors.New("this is not an email address")
	ErrBadNumber = errors.New("this is not a telephone number")
)

// Bounds of addresses, in bytes. RFC 5321, 4.5.3.1.
const (
	maxEmail     = 254
	maxLocalPart = 64
	maxDomain    = 253
	maxLabel     = 63
	maxNumber    = 40 // as people write them, with spaces
)

// Normal returns an address in its canonical form. Errors: ErrBadEmail, ErrBadNumber, and for another medium ErrBadEmail.
func Normal(medium, address string) (string, error) {
	if medium == mail.MSISDN {
		return Number("", "+"+strings.TrimPrefix(address, "+"))
	}
	if medium == mail.Email {
		return Email(address)
	}
	return "", ErrBadEmail
}

// Email returns an email address in its canonical form: case-folded and composed (Appendices, "E-Mail"). It holds nothing that means
// anything in the header of a mail. ErrBadEmail.
func Email(address string) (string, error) {
	if len(address) > maxEmail || !utf8.ValidString(address) {
		return "", ErrBadEmail
	}
	// Folding may undo the composition, and composing may give what folds.
	folded := norm.NFC.String(cases.Fold().String(norm.NFC.String(address)))
	local, domain, found := cutLast(folded, '@')
	if !found || len(folded) > maxEmail || !localPart(local) || !domainName(domain) || !mapped(domain) {
		return "", ErrBadEmail
	}
	return folded, nil
}

// mapped tells whether a domain is written as it is read by those who look it up, in ASCII or not (RFC 5891): there are many ways to write
// one, by wide letters, say, and each would be an address of its own, to which mail comes to the same person.
func mapped(domain string) bool {
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return false
	}
	read, err := idna.Lookup.ToUnicode(ascii)
	return err == nil && (domain == ascii || domain == read)
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	at := strings.LastIndexByte(s, sep)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+1:], true
}

// atext are the signs of a local part that needs no quotes, but for letters and digits. RFC 5322, 3.2.3.
const atext = "!#$%&'*+-/=?^_`{|}~."

// localPart tells whether s is a dot-atom, as of RFC 6531. Quoted local parts nobody has.
func localPart(s string) bool {
	if s == "" || len(s) > maxLocalPart || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for _, r := range s {
		if r < utf8.RuneSelf && !isAlnum(r) && !strings.ContainsRune(atext, r) || r >= utf8.RuneSelf && !wordRune(r) {
			return false
		}
	}
	return true
}

func domainName(s string) bool {
	if s == "" || len(s) > maxDomain {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if r < utf8.RuneSelf && !isAlnum(r) && r != '-' || r >= utf8.RuneSelf && !wordRune(r) {
				return false
			}
		}
	}
	return true
}

func isAlnum(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// wordRune tells whether a rune beyond ASCII is of a word: no space, no sign, nothing that cannot be seen.
func wordRune(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r))
}

// Number returns a telephone number as E.164 has it, without the plus (Appendices, "PSTN Phone numbers"). country is the two letters of that
// from which the number would be dialled, "" for one that begins with a plus. ErrBadNumber.
func Number(country, number string) (string, error) {
	if len(number) > maxNumber || len(country) > 2 || !utf8.ValidString(number) {
		return "", ErrBadNumber
	}
	parsed, err := phonenumbers.Parse(number, strings.ToUpper(country))
	if err != nil || !phonenumbers.IsValidNumber(parsed) {
		return "", ErrBadNumber
	}
	return strings.TrimPrefix(phonenumbers.Format(parsed, phonenumbers.E164), "+"), nil
}

// Redacted returns an address of which only its owner could tell that it is theirs: a...@e...
func Redacted(address string) string {
	local, domain, _ := cutLast(address, '@')
	first := func(s string) string {
		_, size := utf8.DecodeRuneInString(s)
		return s[:size] + "..."
	}
	return first(local) + "@" + first(domain)
}

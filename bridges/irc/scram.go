package irc

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"
)

const (
	// minSCRAMIterations is what a server must ask for. RFC 7677, section 4. Less would let a server that lies
	// learn the password by trying quickly.
	minSCRAMIterations = 4096
	// maxSCRAMIterations bounds the work that a server can make us do: a fraction of a second.
	maxSCRAMIterations = 500_000
	// maxSCRAMSalt bounds the salt, in bytes.
	maxSCRAMSalt = 1024
	// maxSCRAMNonce bounds the nonce of both sides, in bytes.
	maxSCRAMNonce = 1024
)

// scramHeader is the GS2 header: no channel binding, and the account itself. RFC 5802, section 7.
const scramHeader = "n,,"

// Errors of a SCRAM server that a client must not believe.
var (
	errSCRAMServer = errors.New("the server does not know your password either: it may be somebody else, and was told nothing")
	errSASLMessage = errors.New("the server's answer makes no sense")
)

// scram is one authentication by SCRAM-SHA-256. RFC 5802 and RFC 7677. The password goes to nobody: the server shows that it
// knows something made of it, as we do, and if it cannot, the authentication has failed whatever else it says.
type scram struct {
	user, password string
	nonce          string

	first     string // client-first-message-bare
	auth      string // AuthMessage
	salted    []byte // SaltedPassword
	step      int
	confirmed bool
}

// newSCRAM begins for an account.
func newSCRAM(user, password string) *scram {
	return &scram{user: saslPrep(user), password: saslPrep(password), nonce: rand.Text()}
}

func (s *scram) name() string { return "SCRAM-SHA-256" }

// next answers a message of the server. The first is empty.
func (s *scram) next(challenge []byte) ([]byte, error) {
	s.step++
	switch s.step {
	case 1:
		user := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s.user)
		s.first = "n=" + user + ",r=" + s.nonce
		return []byte(scramHeader + s.first), nil
	case 2:
		return s.prove(string(challenge))
	case 3:
		return nil, s.verify(string(challenge))
	}
	return nil, errSASLMessage
}

// proved reports whether the server has shown that it knows the password.
func (s *scram) proved() error {
	if !s.confirmed {
		return errSCRAMServer
	}
	return nil
}

// secretSent reports whether what was sent tells a server that pretends more than that we are there.
func (s *scram) secretSent() bool { return s.step >= 2 }

// prove makes the client-final-message.
func (s *scram) prove(serverFirst string) ([]byte, error) {
	nonce, salt, iterations, err := parseServerFirst(serverFirst)
	switch {
	case err != nil:
		return nil, err
	case !strings.HasPrefix(nonce, s.nonce) || len(nonce) == len(s.nonce) || len(nonce) > maxSCRAMNonce:
		return nil, errSASLMessage
	}
	s.salted, err = pbkdf2.Key(sha256.New, s.password, salt, iterations, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive the key: %w", err)
	}
	final := "c=" + base64.StdEncoding.EncodeToString([]byte(scramHeader)) + ",r=" + nonce
	s.auth = s.first + "," + serverFirst + "," + final
	clientKey := hmacSHA256(s.salted, "Client Key")
	storedKey := sha256.Sum256(clientKey)
	proof := hmacSHA256(storedKey[:], s.auth)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	return []byte(final + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// parseServerFirst takes r=, s= and i= apart, which come in this order. Extensions that must be understood (m=) are not.
func parseServerFirst(message string) (nonce string, salt []byte, iterations int, err error) {
	parts := strings.Split(message, ",")
	if len(parts) < 3 {
		return "", nil, 0, errSASLMessage
	}
	nonce, okNonce := strings.CutPrefix(parts[0], "r=")
	saltText, okSalt := strings.CutPrefix(parts[1], "s=")
	countText, okCount := strings.CutPrefix(parts[2], "i=")
	salt, errSalt := base64.StdEncoding.DecodeString(saltText)
	iterations, errCount := strconv.Atoi(countText)
	switch {
	case !okNonce || !okSalt || !okCount || errSalt != nil || errCount != nil || len(salt) == 0 || len(salt) > maxSCRAMSalt:
		return "", nil, 0, errSASLMessage
	case iterations < minSCRAMIterations || iterations > maxSCRAMIterations:
		return "", nil, 0, fmt.Errorf("the server asks for %d iterations, which is not from %d to %d", iterations, minSCRAMIterations, maxSCRAMIterations)
	}
	return nonce, salt, iterations, nil
}

// verify checks the server-final-message: v= and the signature, or e= and an error.
func (s *scram) verify(serverFinal string) error {
	first, _, _ := strings.Cut(serverFinal, ",")
	if text, failed := strings.CutPrefix(first, "e="); failed {
		return fmt.Errorf("the server says %s", plainText(text))
	}
	signature, ok := strings.CutPrefix(first, "v=")
	got, err := base64.StdEncoding.DecodeString(signature)
	if !ok || err != nil {
		return errSASLMessage
	}
	want := hmacSHA256(hmacSHA256(s.salted, "Server Key"), s.auth)
	if !hmac.Equal(got, want) {
		return errSCRAMServer
	}
	s.confirmed = true
	return nil
}

func hmacSHA256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// saslPrep is the part of RFC 4013 that turns what people type into one form: other spaces into a space, what is not seen
// into nothing, and NFKC. What it would prohibit is left to the server, which refuses it.
func saslPrep(text string) string {
	return norm.NFKC.String(strings.Map(func(r rune) rune {
		switch {
		case r == 0xa0 || r == 0x1680 || r >= 0x2000 && r <= 0x200b || r == 0x202f || r == 0x205f || r == 0x3000:
			return ' ' // RFC 3454, C.1.2
		case r == 0xad || r == 0x34f || r == 0x1806 || r >= 0x180b && r <= 0x180d || r == 0x200c || r == 0x200d ||
			r == 0x2060 || r >= 0xfe00 && r <= 0xfe0f || r == 0xfeff:
			return -1 // RFC 3454, B.1
		}
		return r
	}, text))
}

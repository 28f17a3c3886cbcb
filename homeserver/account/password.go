package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Parameters of argon2id (RFC 9106), of new passwords. A hash carries its own, so that these may change.
const (
	argonTime    = 2
	argonMemory  = 19 << 10 // KiB
	argonThreads = 1
	saltBytes    = 16
	keyBytes     = 32
	// quickMemory is the least that argon2 takes, for Config.QuickPasswords.
	quickMemory = 8 * argonThreads // KiB
)

const (
	// maxPasswordBytes bounds a password.
	maxPasswordBytes = 512
	// maxPasswordsWaiting bounds those who wait for a worker; further ones are told to come back later.
	maxPasswordsWaiting = 64
	// busyRetry is when they may.
	busyRetry = 2 * time.Second
	// maxBcryptCost bounds the work that a hash from elsewhere asks for: a server that trusted it would hash for hours.
	maxBcryptCost = 15
)

var errBadPasswordHash = errors.New("the stored password hash is damaged")

// passwords hashes and verifies passwords, few at a time: half of the processors go on serving everybody else.
type passwords struct {
	slots   chan struct{}
	waiting atomic.Int32
	memory  uint32 // in KiB, of a new hash
	nobody  string // the hash that stands in for that of a user who has none
	// argon is argon2.IDKey, unless a test counts what is done.
	argon func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte
}

func newPasswords(memory uint32) *passwords {
	return &passwords{
		slots:  make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		memory: memory,
		nobody: phc(memory, make([]byte, saltBytes), make([]byte, keyBytes)),
		argon:  argon2.IDKey,
	}
}

// hash returns the PHC string of a password.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	leave, err := p.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	return phc(p.memory, salt, p.argon([]byte(password), salt, argonTime, p.memory, argonThreads, keyBytes)), nil
}

// verify tells whether password is the one of a PHC string, or of a hash of bcrypt, as other servers have them. With "" it says no.
// imported is a hash of bcrypt that some user has, "" when there is none: as long as there is, each "no" takes the time of both kinds, so
// that it says nothing of whose password it was.
func (p *passwords) verify(ctx context.Context, stored, password, imported string) (bool, error) {
	leave, err := p.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	other := imported
	check := p.checkArgon
	if isBcrypt(stored) {
		check, other = checkBcrypt, p.nobody
	}
	real := stored != ""
	if !real {
		stored = p.nobody
	}
	right, err := check(stored, password)
	if err != nil || right && real {
		return right, err
	}
	// It is for the time alone: what comes of it says nothing.
	if other == p.nobody {
		_, _ = p.checkArgon(other, password)
	} else if other != "" {
		_, _ = checkBcrypt(other, password)
	}
	return false, nil
}

func (p *passwords) checkArgon(stored, password string) (bool, error) {
	h, err := parsePHC(stored)
	if err != nil {
		return false, err
	}
	key := p.argon([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1, nil
}

func isBcrypt(stored string) bool { return strings.HasPrefix(stored, "$2") }

func checkBcrypt(stored, password string) (bool, error) {
	cost, err := bcrypt.Cost([]byte(stored))
	if err != nil || cost > maxBcryptCost {
		return false, errBadPasswordHash
	}
	err = bcrypt.CompareHashAndPassword([]byte(stored), []byte(password))
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return false, nil
	}
	return err == nil, err
}

// outdated tells whether a hash is not as it would be made today.
func (p *passwords) outdated(stored string) bool {
	h, err := parsePHC(stored)
	return err != nil || h.time != argonTime || h.memory != p.memory || h.threads != argonThreads
}

// enter waits for a worker.
func (p *passwords) enter(ctx context.Context) (leave func(), err error) {
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) > maxPasswordsWaiting {
		return nil, limitExceeded("Too many logins at once", busyRetry)
	}
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type passwordHash struct {
	time, memory uint32
	threads      uint8
	salt, key    []byte
}

// phc returns a hash with today's parameters, but for the memory, as a string in the PHC format.
func phc(memory uint32, salt, key []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, argonTime, argonThreads, b64(salt), b64(key))
}

func parsePHC(s string) (h passwordHash, err error) {
	fields := strings.Split(s, "$")
	if len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" || fields[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errBadPasswordHash
	}
	if _, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil {
		return h, errBadPasswordHash
	}
	if h.salt, err = base64.RawStdEncoding.DecodeString(fields[4]); err != nil {
		return h, errBadPasswordHash
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(fields[5]); err != nil || len(h.key) == 0 || h.time == 0 || h.threads == 0 {
		return h, errBadPasswordHash
	}
	return h, nil
}

// checkPassword looks at a password that somebody wants to have.
func (s *Service) checkPassword(password string) error {
	if err := checkGivenPassword(password); err != nil {
		return err
	}
	if n := s.cfg.Rules.PasswordMinLength; utf8.RuneCountInString(password) < n {
		return matrixError(http.StatusBadRequest, "M_WEAK_PASSWORD", "The password has less than %d characters", n)
	}
	return nil
}

// checkGivenPassword looks at a password that the operator gives to somebody.
func checkGivenPassword(password string) error {
	if password == "" {
		return missingParam("password")
	}
	if len(password) > maxPasswordBytes {
		return invalidParam("The password has more than %d bytes", maxPasswordBytes)
	}
	return nil
}

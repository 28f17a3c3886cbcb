package turn

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Credentials let a user make allocations for a while, on this server or on another that shares the secret.
type Credentials struct {
	Username string
	Password string
	TTL      time.Duration
}

// Sign makes the password for a username by the secret that a TURN server shares ("A REST API For Access To TURN Services",
// draft-uberti-behave-turn-rest-00, section 2.2).
func Sign(secret []byte, username string) string {
	mac := hmac.New(sha1.New, secret)
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Mint makes credentials for a user that are good until now + ttl.
func Mint(secret []byte, user string, now time.Time, ttl time.Duration) Credentials {
	username := strconv.FormatInt(now.Add(ttl).Unix(), 10) + ":" + user
	return Credentials{Username: username, Password: Sign(secret, username), TTL: ttl}
}

// sessionMark begins the name of a session in a username, which no user's name begins with.
const sessionMark = "~"

// withSession is a user's name with that of a session, as usernames have it: a colon ends it, and it has none itself.
func withSession(user, session string) string {
	return sessionMark + base64.RawURLEncoding.EncodeToString([]byte(session)) + ":" + user
}

// splitSession takes apart what withSession has made. Other names are of users without a session.
func splitSession(name string) (user, session string) {
	marked, ok := strings.CutPrefix(name, sessionMark)
	if !ok {
		return name, ""
	}
	text, user, ok := strings.Cut(marked, ":")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || user == "" || err != nil {
		return name, ""
	}
	return user, string(raw)
}

// maxUsername bounds a username, in bytes (RFC 8489, section 14.3).
const maxUsername = 508

// parseUsername takes a username apart. User ids have colons of their own.
func parseUsername(username string) (expiry int64, user string, ok bool) {
	before, user, ok := strings.Cut(username, ":")
	if !ok || user == "" || len(username) > maxUsername {
		return 0, "", false
	}
	expiry, err := strconv.ParseInt(before, 10, 64)
	return expiry, user, err == nil
}

// Storage keeps the secrets over restarts, and for all servers that share them.
type Storage interface {
	// Update replaces what is kept, nil at first, by what change makes of it, and returns what is kept then. No other Update
	// comes between. change may be called more than once.
	Update(ctx context.Context, change func(old []byte) ([]byte, error)) ([]byte, error)
}

const (
	// rotation is how long a secret makes credentials.
	rotation = 7 * 24 * time.Hour
	// keptKeys is how many secrets are known: the one that makes credentials, one that will, and those before, by which
	// clients refresh allocations that outlive their credentials.
	keptKeys = 3
	// keyCheck is how often the secrets are read again.
	keyCheck = time.Hour
	// keyBytes is the length of a secret.
	keyBytes = 32
	// MaxTTL bounds the time that credentials are good for, so that no secret is forgotten before they end.
	MaxTTL = 3 * 24 * time.Hour
)

// key is a secret with the time from which on credentials that end then are made with it. So a username alone says which secret
// has signed it.
type key struct {
	Secret []byte `json:"secret"`
	From   int64  `json:"from"` // in seconds since 1970
}

// Keys are the secrets that credentials are signed with. They are random, and change every week.
type Keys struct {
	storage Storage
	ttl     time.Duration
	now     func() time.Time

	mu   sync.RWMutex // guards list
	list []key        // oldest first
}

// OpenKeys reads the secrets, and makes the first one if there is none. Credentials are good for ttl, MaxTTL at most.
func OpenKeys(ctx context.Context, storage Storage, ttl time.Duration) (*Keys, error) {
	return openKeys(ctx, storage, ttl, time.Now)
}

func openKeys(ctx context.Context, storage Storage, ttl time.Duration, now func() time.Time) (*Keys, error) {
	if ttl <= 0 || ttl > MaxTTL {
		return nil, fmt.Errorf("credentials of TURN cannot be good for %v", ttl)
	}
	k := &Keys{storage: storage, ttl: ttl, now: now}
	return k, k.refresh(ctx)
}

// Run changes secrets when it is time, until ctx ends. It returns nil then.
func (k *Keys) Run(ctx context.Context) error {
	tick := time.NewTicker(keyCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			// The old ones go on. What keeps the database from being read shows elsewhere, and it is tried again.
			_ = k.refresh(ctx)
		}
	}
}

// MintSession makes credentials for a session of a user: of no use for another allocation when it has ended (Config.Active). A session whose name
// is too long for a username is not named.
func (k *Keys) MintSession(user, session string) Credentials {
	if name := withSession(user, session); session != "" && len(name) < maxUsername-maxExpiry {
		return k.Mint(name)
	}
	return k.Mint(user)
}

// maxExpiry is how long the time in a username is, with the colon behind it.
const maxExpiry = 21

// Mint makes credentials for a user.
func (k *Keys) Mint(user string) Credentials {
	now := k.now()
	return Mint(k.secret(now.Add(k.ttl).Unix()), user, now, k.ttl)
}

// secret returns the one for credentials that end at a time, nil for none.
func (k *Keys) secret(expiry int64) []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for i := len(k.list) - 1; i >= 0; i-- {
		if k.list[i].From <= expiry {
			return k.list[i].Secret
		}
	}
	return nil
}

var errNoSecrets = errors.New("the secrets of TURN credentials cannot be read")

// refresh reads the secrets, and adds one when the last is old. Others of the servers that share them learn of it before it is
// used: that is what two checks are waited for.
func (k *Keys) refresh(ctx context.Context) error {
	now := k.now()
	raw, err := k.storage.Update(ctx, func(old []byte) ([]byte, error) {
		list, err := parseKeys(old)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 && now.Before(time.Unix(list[len(list)-1].From, 0).Add(rotation-k.ttl)) {
			return old, nil
		}
		secret := make([]byte, keyBytes)
		rand.Read(secret) // never fails
		next := key{Secret: secret, From: now.Unix()}
		if len(list) > 0 {
			next.From = now.Add(k.ttl + 2*keyCheck).Unix()
		}
		list = append(list, next)
		return json.Marshal(list[max(0, len(list)-keptKeys):])
	})
	if err != nil {
		return fmt.Errorf("read the secrets of TURN credentials: %w", err)
	}
	list, err := parseKeys(raw)
	if err == nil && len(list) == 0 {
		err = errNoSecrets
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = list
	return nil
}

func parseKeys(raw []byte) ([]key, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var list []key
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errNoSecrets // the error would tell of them
	}
	for _, k := range list {
		if len(k.Secret) < keyBytes {
			return nil, errNoSecrets
		}
	}
	return list, nil
}

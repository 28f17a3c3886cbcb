// Package e2ee holds what devices need to talk in secret: the messages that wait for them, the public keys by which they are found,
// identity keys, one-time keys and fallback keys; the cross-signing keys by which users vouch for their devices and for each other; and
// the backups of the keys that they have of rooms. Every signature is verified before it is stored. clientapi calls it for the
// endpoints of those names, usersync tells it which messages have arrived, and the maintenance which are too old. It never reads a
// message, and it decides nothing about who sees whose changes: /sync and /keys/changes are usersync's.
package e2ee

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Config is what a Service needs.
type Config struct {
	ServerName string
	DB         *store.DB
	Bus        notify.Bus
	Now        func() time.Time // nil for time.Now
}

// Service is the keys and messages of the devices of one server. It is safe for concurrent use.
type Service struct {
	serverName string
	db         *store.DB
	bus        notify.Bus
	now        func() time.Time
	// maxWaiting bounds what one sender has waiting for one device.
	maxWaiting int
	maxBackups store.KeyBackupTotals

	empty    emptyInboxes
	personal personalDevices
}

// New returns a Service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{
		serverName: c.ServerName, db: c.DB, bus: c.Bus, now: c.Now, maxWaiting: maxWaiting, maxBackups: maxBackups,
		empty:    emptyInboxes{upto: make(map[inboxKey]int64)},
		personal: personalDevices{all: make(map[inboxKey]struct{})},
	}
}

// By is the device on whose behalf a request acts.
type By struct {
	User id.UserID
	// Device is "" for an application service that names none.
	Device id.DeviceID
	// Scope is that of the transaction ids: the device, or one of an application service's own.
	Scope string
}

// maxNameBytes bounds types, transaction ids, device ids, and the names of keys.
const maxNameBytes = 255

// isName tells whether s is text that can be a name of something: not empty, not too long, and such that every database takes it.
func isName(s string) bool {
	return s != "" && len(s) <= maxNameBytes && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// local tells whether a user is of this server, and which server it is otherwise.
func (s *Service) local(user id.UserID) (server string, local bool) {
	_, server, err := user.Parse()
	return server, err == nil && server == s.serverName
}

func matrixError(status int, code, format string, args ...any) error {
	return mautrix.RespError{StatusCode: status, ErrCode: code, Err: fmt.Sprintf(format, args...)}
}

func badJSON(format string, args ...any) error {
	return matrixError(http.StatusBadRequest, "M_BAD_JSON", format, args...)
}

func invalidParam(format string, args ...any) error {
	return matrixError(http.StatusBadRequest, "M_INVALID_PARAM", format, args...)
}

func tooLarge(format string, args ...any) error {
	return matrixError(http.StatusRequestEntityTooLarge, "M_TOO_LARGE", format, args...)
}

// signedOut is the error of a request whose device was deleted while it was on its way.
func signedOut() error {
	return matrixError(http.StatusUnauthorized, "M_UNKNOWN_TOKEN", "The device is signed out")
}

// Package e2be is end-to-bridge encryption: it reads and writes encrypted rooms for a bridge, as one device of the
// bridge's bot (Client-Server API, End-to-end encryption; Application Service API, Managing devices, which was
// MSC4190; MSC3202 and MSC4203 for what transactions bring).
//
// Package bridges makes a Machine for each bridge that has encryption on, and hands it what transactions hold beside
// events. It is the matrix.Crypto of bridgev2, whose own needs cgo. The keys lie in the bridge's database, encrypted by
// a key that lies there too: who has the file has the keys.
//
// mautrix's Olm in pure Go is chosen by the build tag goolm. A program that is built without it has Available false.
package e2be

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/id"
)

// ErrNotBuilt says that the program was built without encryption.
var ErrNotBuilt = errors.New("this program was built without encryption for bridges: build it with -tags goolm")

// KeyWait is for how long a message that cannot be read yet waits for its key, and is not handled until then. It is
// longer than bridgev2 waits.
const KeyWait = 30 * time.Second

// Options are what a Machine needs. All are required.
type Options struct {
	// Connector is bridgev2's Matrix side. Its Init has been called when that of the Machine is.
	Connector *matrix.Connector
	// DB is the bridge's database, to which the tables of keys are added.
	DB *dbutil.Database
	// Account names the keys in the database, and Name the device for people.
	Account, Name string
	// PickleKey encrypts the keys in the database.
	PickleKey []byte
	// IsGhost says who needs no keys, because the bridge itself is that user.
	IsGhost func(id.UserID) bool
	// Secrets keep what is to be had again after a restart.
	Secrets Secrets
	// Hold keeps an event unfinished until done is called.
	Hold func(id.EventID) (done func())
}

// Secrets are words by name. One that is not there, or has been set to "", is "".
type Secrets interface {
	Secret(ctx context.Context, name string) (string, error)
	SetSecret(ctx context.Context, name, value string) error
}

// Beside is what transactions hold beside events.
type Beside struct {
	ToDevice    []json.RawMessage
	DeviceLists *mautrix.DeviceLists
	KeyCounts   map[id.UserID]map[id.DeviceID]mautrix.OTKCount
}

// IsEmpty says that there is nothing to receive.
func (b Beside) IsEmpty() bool {
	return len(b.ToDevice) == 0 && b.DeviceLists == nil && len(b.KeyCounts) == 0
}

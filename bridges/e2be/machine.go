//go:build goolm

package e2be

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/rs/zerolog"
	"go.mau.fi/util/dbutil"
	"go.mau.fi/util/exsync"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/olm"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// Available says whether the program was built with encryption.
const Available = true

// Names of secrets.
const (
	// deviceSecret is the ID of the device, from before the homeserver is told of it.
	deviceSecret = "device_id"
	// recoverySecret is the key of the bot's secret storage, where its cross-signing keys are.
	recoverySecret = "recovery_key"
)

func init() {
	// bridgev2 tells people by these why a message cannot be read; without cgo it has placeholders.
	matrix.NoSessionFound = crypto.ErrNoSessionFound
	matrix.DuplicateMessageIndex = crypto.ErrDuplicateMessageIndex
	matrix.UnknownMessageIndex = olm.ErrUnknownMessageIndex
	crypto.PostgresArrayWrapper = pq.Array
}

// Machine is the bot's device. It implements matrix.Crypto, whose Init comes first.
type Machine struct {
	o       Options
	log     zerolog.Logger
	sharing *exsync.KeyedMutex[id.RoomID] // one at a time gives a room a new key

	mu     sync.RWMutex // guards what follows, which Reset replaces
	client *mautrix.Client
	store  *store
	olm    *crypto.OlmMachine
}

var _ matrix.Crypto = (*Machine)(nil)

// New returns a Machine that has not talked to anyone.
func New(o Options) (*Machine, error) {
	return &Machine{o: o, sharing: exsync.NewKeyedMutex[id.RoomID]()}, nil
}

// Init implements matrix.Crypto: it makes the device, or takes up the one of before, and publishes its keys.
func (m *Machine) Init(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = m.o.Connector.Log.With().Str("component", "encryption").Logger()
	m.store = newStore(m.o, dbutil.ZeroLogger(m.log))
	if err := m.store.DB.Upgrade(ctx); err != nil {
		return fmt.Errorf("upgrade the tables of keys: %w", err)
	}
	if err := m.openDevice(ctx); err != nil {
		return err
	}
	known, err := m.publish(ctx)
	if err != nil {
		return err
	}
	if !known {
		m.log.Warn().Stringer("device_id", m.client.DeviceID).Msg("The homeserver has lost the keys of the bridge's device: it gets a new one")
		if err := m.forget(ctx); err != nil {
			return err
		}
		if err := m.openDevice(ctx); err != nil {
			return err
		}
		if _, err := m.publish(ctx); err != nil {
			return err
		}
	}
	if err := m.selfSign(ctx); err != nil {
		// People can talk to a device that is not signed, if their clients let them.
		m.log.Err(err).Msg("The bridge's device could not be signed")
	}
	return nil
}

// openDevice makes the device at the homeserver if need be, and loads its keys or makes them.
func (m *Machine) openDevice(ctx context.Context) error {
	device, err := m.store.FindDeviceID(ctx)
	if err != nil {
		return fmt.Errorf("read the ID of the device: %w", err)
	}
	if device == "" {
		if device, err = m.chooseDevice(ctx); err != nil {
			return err
		}
	}
	as := m.o.Connector.AS
	client := as.NewMautrixClient(as.BotMXID())
	if err := client.CreateDeviceMSC4190(ctx, device, m.o.Name); err != nil {
		return fmt.Errorf("make the device of the bridge's bot: %w", err)
	}
	m.client, m.store.DeviceID = client, device
	m.olm = crypto.NewOlmMachine(client, &m.log, m.store, m.o.Connector.StateStore)
	m.olm.SetBackgroundCtx(m.log.WithContext(context.WithoutCancel(ctx)))
	// A ghost is no device of its own, so nobody can tell from one whether a key was given to all of them.
	m.olm.DisableSharedGroupSessionTracking = true
	m.olm.AllowKeyShare = func(context.Context, *id.Device, event.RequestedKeyInfo) *crypto.KeyShareRejection {
		return &crypto.KeyShareRejectNoResponse
	}
	if err := m.olm.Load(ctx); err != nil {
		return fmt.Errorf("load the keys of the device: %w", err)
	}
	return nil
}

// chooseDevice keeps the ID of the device before there is one, so that a process that dies between the two leaves none that
// nobody knows.
func (m *Machine) chooseDevice(ctx context.Context) (id.DeviceID, error) {
	device, err := m.o.Secrets.Secret(ctx, deviceSecret)
	if err == nil && device == "" {
		device = "BRIDGE" + rand.Text()[:10]
		err = m.o.Secrets.SetSecret(ctx, deviceSecret, device)
	}
	if err != nil {
		return "", fmt.Errorf("keep the ID of the device: %w", err)
	}
	return id.DeviceID(device), nil
}

// publish uploads keys that the homeserver does not have, and returns false when it has lost them: a device's keys
// never change, so it cannot have them again.
func (m *Machine) publish(ctx context.Context) (known bool, err error) {
	if !m.olm.GetAccount().Shared {
		if err := m.olm.ShareKeys(ctx, 0); err != nil {
			return true, fmt.Errorf("publish the keys of the device: %w", err)
		}
		return true, nil
	}
	user, device := m.client.UserID, m.client.DeviceID
	published, err := m.client.QueryKeys(ctx, &mautrix.ReqQueryKeys{
		DeviceKeys: map[id.UserID]mautrix.DeviceIDList{user: {device}},
	})
	if err != nil {
		return true, fmt.Errorf("ask for the keys of the device: %w", err)
	}
	keys := published.DeviceKeys[user][device].Keys
	return keys.GetEd25519(device) == m.olm.OwnIdentity().SigningKey, nil
}

// forget deletes the device and its keys. Keys of rooms that others gave to it stay: what was said can still be read.
func (m *Machine) forget(ctx context.Context) error {
	m.olm.Destroy()
	as := m.o.Connector.AS
	// Deleted in the name of the bot, without a device, so that it does not delete what it acts as.
	_, err := as.BotClient().MakeRequest(ctx, "DELETE", m.client.BuildClientURL("v3", "devices", m.client.DeviceID), nil, nil)
	if err != nil && !errors.Is(err, mautrix.MNotFound) {
		m.log.Warn().Err(err).Stringer("device_id", m.client.DeviceID).Msg("Deleting the device")
	}
	if err := m.store.forget(ctx); err != nil {
		return fmt.Errorf("delete the keys of the device: %w", err)
	}
	if err := m.o.Secrets.SetSecret(ctx, deviceSecret, ""); err != nil {
		return fmt.Errorf("forget the ID of the device: %w", err)
	}
	m.store = newStore(m.o, dbutil.ZeroLogger(m.log))
	return nil
}

// selfSign has the bot's own cross-signing keys sign its device, so that clients that send keys to signed devices alone
// send them to the bridge (MSC4153).
func (m *Machine) selfSign(ctx context.Context) error {
	hasKeys, signed, err := m.olm.GetOwnVerificationStatus(ctx)
	if err != nil {
		return fmt.Errorf("ask whether the device is signed: %w", err)
	}
	master, _, _, err := m.olm.GetOwnCrossSigningVerificationStatus(ctx)
	if err != nil {
		return fmt.Errorf("ask whether the cross-signing keys are ours: %w", err)
	}
	if hasKeys && signed && master {
		return nil
	}
	recovery, err := m.o.Secrets.Secret(ctx, recoverySecret)
	if err != nil {
		return fmt.Errorf("read the recovery key: %w", err)
	}
	if hasKeys && recovery != "" {
		if err := m.olm.VerifyWithRecoveryKey(ctx, recovery); err == nil {
			return nil
		}
		m.log.Warn().Msg("The bridge's cross-signing keys cannot be recovered: it gets new ones")
	}
	recovery, err = m.olm.GenerateAndVerifyWithRecoveryKey(ctx)
	if recovery != "" {
		err = errors.Join(err, m.o.Secrets.SetSecret(ctx, recoverySecret, recovery))
	}
	if err != nil {
		return fmt.Errorf("make cross-signing keys: %w", err)
	}
	return nil
}

// Start implements matrix.Crypto; there is nothing to do, since transactions bring what /sync would.
func (m *Machine) Start() {}

// Stop implements matrix.Crypto.
func (m *Machine) Stop() {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.olm != nil {
		m.olm.Destroy()
	}
}

// Reset implements matrix.Crypto: it makes the bridge a new device.
func (m *Machine) Reset(ctx context.Context, _ bool) error {
	m.mu.Lock()
	err := m.forget(ctx)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.Init(ctx)
}

// Client implements matrix.Crypto.
func (m *Machine) Client() *mautrix.Client {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.client
}

// ShareKeys implements matrix.Crypto: it uploads one-time keys if there are too few.
func (m *Machine) ShareKeys(ctx context.Context) error { return m.machine().ShareKeys(ctx, -1) }

// BeeperStreamPublisher implements matrix.Crypto; there is none.
func (m *Machine) BeeperStreamPublisher() bridgev2.BeeperStreamPublisher { return nil }

func (m *Machine) machine() *crypto.OlmMachine {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.olm
}

// holdFor has an event count as unfinished for a while.
func (m *Machine) holdFor(eventID id.EventID, wait time.Duration) {
	time.AfterFunc(wait, m.o.Hold(eventID))
}

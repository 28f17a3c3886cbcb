package bridges

import (
	"context"
	"errors"
	"fmt"
	"time"

	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/e2be"
)

// Encryption is the part of the configuration about end-to-bridge encryption: between the devices of people and the
// bridge, which reads everything, and passes it on to a network in the clear.
type Encryption struct {
	// Allow lets the bridge read and write rooms that somebody has encrypted. Without it such a room is told that
	// the bridge cannot read it.
	Allow bool `yaml:"allow"`
	// Default encrypts the rooms that the bridge makes. It needs Allow.
	Default bool `yaml:"default"`
	// Require has the bridge refuse messages that are not encrypted, and write none. It needs Allow.
	Require bool `yaml:"require"`
}

// Validate checks the configuration; errors name the field.
func (e Encryption) Validate() error {
	switch {
	case !e.Allow && e.Default:
		return errors.New("default: needs allow")
	case !e.Allow && e.Require:
		return errors.New("require: needs allow")
	case e.Allow && !e2be.Available:
		return fmt.Errorf("allow: %w", e2be.ErrNotBuilt)
	}
	return nil
}

func (e Encryption) config() (c bridgeconfig.EncryptionConfig) {
	c.Allow, c.Default, c.Require = e.Allow, e.Default, e.Require
	c.Appservice, c.MSC4190, c.SelfSign = true, true, true
	return c
}

var errNoEncryption = errors.New("the room is encrypted, and the bridge is not configured for that")

// besideWait bounds how long a transaction's keys may take: they include requests to the homeserver.
const besideWait = 30 * time.Second

// prepareEncryption puts our encryption into the place of bridgev2's. It comes after NewBridge and before Run.
func (b *Bridge) prepareEncryption(ctx context.Context) error {
	if !b.opts.Encryption.Allow {
		return nil
	}
	pickle, err := loadToken(ctx, b.raw, "pickle_key")
	if err != nil {
		return err
	}
	b.crypto, err = e2be.New(e2be.Options{
		Connector: b.conn.Connector, DB: b.raw, Account: b.opts.ID, Name: b.opts.Name, PickleKey: []byte(pickle),
		IsGhost: b.v2.IsGhostMXID, Secrets: secrets{b.raw},
		Hold: b.holdUnlessStopped,
	})
	if err != nil {
		return err
	}
	b.conn.Crypto = b.crypto
	return nil
}

// holdUnlessStopped keeps an event unfinished. What is called after the bridge has stopped does nothing: the event is
// handled after the next start.
func (b *Bridge) holdUnlessStopped(event id.EventID) (done func()) {
	release := b.lanes.hold(event)
	return func() {
		if b.lanes.ctx.Err() == nil {
			release()
		}
	}
}

// receiveBeside hands to encryption what a transaction holds for it.
func (b *Bridge) receiveBeside(ctx context.Context, txn *transaction) error {
	beside := e2be.Beside{ToDevice: txn.ToDevice, DeviceLists: txn.DeviceLists, KeyCounts: txn.KeyCounts}
	if beside.ToDevice == nil {
		beside.ToDevice = txn.UnstableToDevice
	}
	if beside.DeviceLists == nil {
		beside.DeviceLists = txn.UnstableDeviceLists
	}
	if beside.KeyCounts == nil {
		beside.KeyCounts = txn.UnstableKeyCounts
	}
	if b.crypto == nil || beside.IsEmpty() {
		return nil
	}
	// What is half received when the homeserver gives up waiting is received to its end.
	ctx, cancel := context.WithTimeout(b.log.WithContext(context.WithoutCancel(ctx)), besideWait)
	defer cancel()
	if err := b.crypto.Receive(ctx, beside); err != nil {
		return fmt.Errorf("receive keys: %w", err)
	}
	return nil
}

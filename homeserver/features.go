package homeserver

import (
	"errors"
	"fmt"
	"time"

	"causeway/homeserver/clientapi"
	"causeway/homeserver/room"
)

// DelayedEventsConfig bounds events that are sent later (MSC4140).
type DelayedEventsConfig struct {
	// Enabled is whether users may schedule events at all.
	Enabled bool `yaml:"enabled"`
	// MaxDelay is how far ahead, and MaxScheduled how many each may have scheduled at a time.
	MaxDelay     time.Duration `yaml:"max_delay"`
	MaxScheduled int           `yaml:"max_scheduled"`
}

// DefaultDelayedEvents is what holds where the operator says nothing.
func DefaultDelayedEvents() DelayedEventsConfig {
	return DelayedEventsConfig{Enabled: true, MaxDelay: room.DefaultMaxDelay, MaxScheduled: room.DefaultMaxScheduled}
}

// Bounds of DelayedEventsConfig: no list of delayed events is longer than maxMaxScheduled, and nobody waits for maxMaxDelay.
const (
	minMaxDelay     = time.Second
	maxMaxDelay     = 10 * 366 * 24 * time.Hour
	maxMaxScheduled = 1000
)

// Validate returns what is wrong, an error a line, each of which begins with the key that it is about.
func (c DelayedEventsConfig) Validate() error {
	var errs []error
	if c.MaxDelay < minMaxDelay || c.MaxDelay > maxMaxDelay {
		errs = append(errs, errors.New("max_delay: must be from a second to ten years"))
	}
	if c.MaxScheduled < 1 || c.MaxScheduled > maxMaxScheduled {
		errs = append(errs, fmt.Errorf("max_scheduled: must be from 1 to %d", maxMaxScheduled))
	}
	return errors.Join(errs...)
}

// Limits is the configuration as Config wants it.
func (c DelayedEventsConfig) Limits() room.DelayedConfig {
	return room.DelayedConfig{Off: !c.Enabled, MaxDelay: c.MaxDelay, MaxScheduled: c.MaxScheduled}
}

// OAuthConfig is of the OAuth 2.0 authorization server.
type OAuthConfig struct {
	// Enabled has clients sign people in through the server's own pages. Those that do not know of that do it as before.
	Enabled bool `yaml:"enabled"`
	// QRLogin says who may begin what two devices meet in, when one signs the other in by a QR code.
	QRLogin QRLogin `yaml:"qr_login"`
}

// QRLogin says where sign-in by QR code begins.
type QRLogin string

// The values of QRLogin.
const (
	QRLoginOff    QRLogin = "off"
	QRLoginUsers  QRLogin = "users"  // on a device that is signed in, whose client knows MSC4388
	QRLoginPublic QRLogin = "public" // on either device
)

var rendezvousPolicies = map[QRLogin]clientapi.RendezvousPolicy{
	QRLoginOff: clientapi.RendezvousOff, QRLoginUsers: clientapi.RendezvousUsers, QRLoginPublic: clientapi.RendezvousPublic,
}

// Validate returns what is wrong.
func (c OAuthConfig) Validate() error {
	if _, ok := rendezvousPolicies[c.QRLogin]; !ok {
		return errors.New("qr_login: must be off, users or public")
	}
	return nil
}

// rendezvous is what clients meet by: without the device grant of OAuth there is nothing to meet for.
func (c OAuthConfig) rendezvous() clientapi.RendezvousPolicy {
	if !c.Enabled {
		return clientapi.RendezvousOff
	}
	return rendezvousPolicies[c.QRLogin]
}

// ExperimentalConfig switches on what is no part of Matrix yet.
type ExperimentalConfig struct {
	// StickyEvents is whether events may be sticky (MSC4354).
	StickyEvents bool `yaml:"sticky_events"`
}

// Package mail sends what the server has to say to people outside of Matrix: email by SMTP, and text messages through a gateway of the
// operator's. A message is a row of the transaction that has cause for it, is tried again until it is sent, refused for good or a day old,
// and is gone from the database then. threepid and identity queue messages; it knows nothing of what they are about, and takes no mail.
package mail

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"causeway/homeserver/store"
)

// Media. Appendices, "3PID Types".
const (
	Email  = "email"
	MSISDN = "msisdn"
)

// ErrTooMany is the error of Queue when an address has got, or a requester has caused, as many messages as are allowed for now.
var ErrTooMany = errors.New("too many messages")

// Limits of what is sent. They are counted in the database, so that no restart lifts them.
const (
	maxPerAddressHour   = 5
	maxPerAddressDay    = 15
	maxPerRequesterHour = 30
	maxPerRequesterDay  = 100
)

const (
	hourMS = 60 * 60 * 1000
	dayMS  = 24 * hourMS
)

// Message is what is sent.
type Message struct {
	Medium    string // Email or MSISDN
	Address   string // in its canonical form
	Requester string // who has caused it: a user id, or an IP address
	Letter    Letter
}

// Options are what a Service needs.
type Options struct {
	Config
	SMS        SMSConfig
	ServerName string
	DB         *store.DB
	Roots      *x509.CertPool   // for certificates of the SMTP server and the gateway, nil for the machine's
	Now        func() time.Time // nil for the clock
}

// Service sends messages.
type Service struct {
	Options
	wake    chan struct{} // holds one while there is cause to look
	gateway *http.Client
}

// New returns a Service. Nothing is sent until Run.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{Options: o, wake: make(chan struct{}, 1)}
	s.gateway = newGateway(o)
	return s
}

// Sends tells whether messages of a medium can be sent.
func (s *Service) Sends(medium string) bool {
	switch medium {
	case Email:
		return s.Host != ""
	case MSISDN:
		return s.SMS.URL != ""
	}
	return false
}

// Queue has a message sent once the transaction is committed. ErrTooMany.
func (s *Service) Queue(tx *store.Tx, m Message) error {
	nowTS := s.Now().UnixMilli()
	if err := s.allow(tx, m, nowTS); err != nil {
		return err
	}
	raw, err := json.Marshal(m.Letter)
	if err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	row := store.OutboxMessage{Medium: m.Medium, Address: m.Address, Requester: m.Requester, Message: string(raw), CreatedTS: nowTS}
	if err := tx.InsertOutbox(&row); err != nil {
		return err
	}
	tx.AfterCommit(s.look)
	return nil
}

func (s *Service) allow(tx *store.Tx, m Message, nowTS int64) error {
	for _, limit := range []struct {
		count func(sinceTS int64) (int, error)
		since int64
		most  int
	}{
		{func(ts int64) (int, error) { return tx.OutboxToAddress(m.Medium, m.Address, ts) }, hourMS, maxPerAddressHour},
		{func(ts int64) (int, error) { return tx.OutboxToAddress(m.Medium, m.Address, ts) }, dayMS, maxPerAddressDay},
		{func(ts int64) (int, error) { return tx.OutboxOfRequester(m.Requester, ts) }, hourMS, maxPerRequesterHour},
		{func(ts int64) (int, error) { return tx.OutboxOfRequester(m.Requester, ts) }, dayMS, maxPerRequesterDay},
	} {
		n, err := limit.count(nowTS - limit.since)
		if err != nil {
			return err
		}
		if n >= limit.most {
			return ErrTooMany
		}
	}
	return nil
}

// look has Run look for what is due.
func (s *Service) look() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look
	}
}

// deliver sends one message. The error wraps errRefused when another try would be in vain.
func (s *Service) deliver(ctx context.Context, m store.OutboxMessage) error {
	var letter Letter
	if err := json.Unmarshal([]byte(m.Message), &letter); err != nil {
		return fmt.Errorf("%w: read message %d: %w", errRefused, m.NID, err)
	}
	switch {
	case !s.Sends(m.Medium):
		return fmt.Errorf("there is no way to send by %s any more", m.Medium)
	case m.Medium == MSISDN:
		return s.text(ctx, m, letter)
	}
	return s.smtp(ctx, m, letter)
}

// errRefused marks errors that another try does not mend.
var errRefused = errors.New("refused for good")

// Package rendezvous holds what two devices of a user say to each other while one of them signs the other in by a QR code, before the
// other has an account to say it through (MSC4108 of 2024, and MSC4388 that follows it). A session is one payload, of some kilobytes,
// that whoever knows its id reads and replaces; the devices encrypt it for each other, and the server understands nothing of it.
// clientapi calls it, once for each of the two forms that sessions have on the wire.
//
// Sessions are kept in memory, because they last for minutes and because a sign-in that a restart cuts short begins anew with another
// code. Where several processes serve one homeserver they belong into the database: a row for each session, with its payload, token,
// owner and expiry, and one for each transaction id; [Service.Write] is then an UPDATE … WHERE id = $1 AND token = $2, whose count of
// rows says who came first, and the bounds are counts of rows in the transaction that inserts. The methods have the form for that.
package rendezvous

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// MaxPayload bounds a payload, in bytes (MSC4388, Maximum payload size; MSC4108 says 4KB).
	MaxPayload = 4096
	// Lifetime is how long a session lasts, whatever is done with it: long enough for people to log in somewhere, and at most what MSC4388
	// advises (Maximum duration of a rendezvous).
	Lifetime = 5 * time.Minute
	// maxSessions bounds how many sessions there are. With MaxPayload and maxWrites they hold 20 MB at most.
	maxSessions = 2000
	// maxOwned bounds how many sessions there are of one owner. All of a house may share an address.
	maxOwned = 20
	// maxWrites bounds the writes of a session that name a transaction, each of which is remembered. Signing in takes about ten.
	maxWrites = 64
)

// Errors of a Service.
var (
	ErrNotFound        = errors.New("there is no such rendezvous session")
	ErrConcurrentWrite = errors.New("somebody else has written to the rendezvous session")
	ErrTooLarge        = errors.New("the payload of a rendezvous session is too large")
	ErrNotText         = errors.New("the payload of a rendezvous session is not text")
	ErrTooMany         = errors.New("there are too many rendezvous sessions, or too many writes to one")
)

// Payload is what a session holds.
type Payload struct {
	ID         string // of the session
	Data       string
	Token      string // another one after each write
	ModifiedTS int64
	ExpiresTS  int64
}

// Write is what is to replace the payload of a session.
type Write struct {
	Token string // of the payload that the writer has seen
	Data  string
	// TxnID names this attempt to write, and may be "". What is written with it again is answered as it was at first.
	TxnID string
}

// Service holds the sessions. [New] makes one.
type Service struct {
	mu       sync.Mutex // guards what follows, and what sessions hold
	sessions map[string]*session
	owned    map[string]int // how many sessions an owner has
}

type session struct {
	Payload
	owner  string
	expiry *time.Timer
	writes map[[sha256.Size]byte]outcome // by transaction id
}

// outcome is what a write was answered with.
type outcome struct {
	Payload
	err error
}

// New returns a service without sessions.
func New() *Service {
	return &Service{sessions: make(map[string]*session), owned: make(map[string]int)}
}

// Create begins a session with a first payload. owner is who has so many sessions at most: a user, or an address. Errors: ErrTooLarge,
// ErrNotText, ErrTooMany.
func (s *Service) Create(_ context.Context, owner, data string) (Payload, error) {
	if err := check(data); err != nil {
		return Payload{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Those that there are go on: what sweeps old sessions aside for new ones lets a flood end everybody's.
	if len(s.sessions) >= maxSessions || s.owned[owner] >= maxOwned {
		return Payload{}, ErrTooMany
	}
	now := time.Now()
	created := &session{owner: owner, Payload: Payload{
		ID: rand.Text(), Data: data, Token: rand.Text(), ModifiedTS: now.UnixMilli(), ExpiresTS: now.Add(Lifetime).UnixMilli(),
	}}
	s.sessions[created.ID] = created
	s.owned[owner]++
	created.expiry = time.AfterFunc(Lifetime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(created)
	})
	return created.Payload, nil
}

// Read returns the payload of a session. ErrNotFound.
func (s *Service) Read(_ context.Context, id string) (Payload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(id)
	if err != nil {
		return Payload{}, err
	}
	return found.Payload, nil
}

// Write replaces the payload of a session, if it is still the one that the writer has seen, and returns the new one. Errors: ErrNotFound,
// ErrTooLarge, ErrNotText, ErrTooMany, and ErrConcurrentWrite, which comes with the payload that is there.
func (s *Service) Write(_ context.Context, id string, w Write) (Payload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(id)
	if err != nil {
		return Payload{}, err
	}
	if w.TxnID == "" {
		return found.write(w)
	}
	txn := sha256.Sum256([]byte(w.TxnID)) // of a size, whatever it is
	if before, again := found.writes[txn]; again {
		return before.Payload, before.err
	}
	if len(found.writes) >= maxWrites {
		return Payload{}, ErrTooMany
	}
	p, err := found.write(w)
	if err != nil && !errors.Is(err, ErrConcurrentWrite) {
		return Payload{}, err
	}
	if found.writes == nil {
		found.writes = make(map[[sha256.Size]byte]outcome)
	}
	answered := outcome{Payload: p, err: err}
	answered.Data = "" // its writer knows it
	found.writes[txn] = answered
	return p, err
}

// Delete ends a session. ErrNotFound.
func (s *Service) Delete(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(id)
	if err != nil {
		return err
	}
	found.expiry.Stop()
	s.drop(found)
	return nil
}

// find returns a session that has not expired. s.mu is held.
func (s *Service) find(id string) (*session, error) {
	found := s.sessions[id]
	if found == nil || found.ExpiresTS <= time.Now().UnixMilli() { // the timer may be late
		return nil, ErrNotFound
	}
	return found, nil
}

// drop forgets a session, which may be gone already. s.mu is held.
func (s *Service) drop(gone *session) {
	if s.sessions[gone.ID] != gone {
		return
	}
	delete(s.sessions, gone.ID)
	if s.owned[gone.owner]--; s.owned[gone.owner] == 0 {
		delete(s.owned, gone.owner)
	}
}

// write replaces the payload.
func (s *session) write(w Write) (Payload, error) {
	if err := check(w.Data); err != nil {
		return Payload{}, err
	}
	if w.Token != s.Token {
		return s.Payload, ErrConcurrentWrite
	}
	s.Data, s.Token, s.ModifiedTS = w.Data, rand.Text(), time.Now().UnixMilli()
	return s.Payload, nil
}

// check refuses what cannot be a payload. MSC4108 leaves open what it is; here it is text, which MSC4388 can show as well.
func check(data string) error {
	if len(data) > MaxPayload {
		return ErrTooLarge
	}
	if !utf8.ValidString(data) {
		return ErrNotText
	}
	return nil
}

package search

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

const (
	// maxBatch bounds the events that one transaction puts into the index, so that who sends never waits long for it.
	maxBatch = 200
	// maxTerms bounds what the index has of one event. An event has 65,536 bytes.
	maxTerms = 20_000
	// maxOpenStates bounds the rooms of which it is remembered by which state they were found to be open or not.
	maxOpenStates = 100_000
	// maxWait is how long a search waits for the index.
	maxWait = 2 * time.Second
)

// The keys by which a client names what it looks for. Client-Server API, POST /search.
const (
	keyBody  = "content.body"
	keyName  = "content.name"
	keyTopic = "content.topic"
)

// textOf returns the text of an event by which it is found, and the key that this text is of; "" for none. An edit is found by its
// own text, which is the new one, and an encrypted event not at all.
func textOf(p *event.PDU) (key, text string) {
	switch {
	case p.Type == "m.room.encrypted":
		return "", ""
	case p.StateKey == nil:
		content := p.Content
		if relation, _ := event.Text(event.Field(event.Field(content, "m.relates_to"), "rel_type")); relation == "m.replace" {
			if fresh := event.Field(content, "m.new_content"); fresh != nil {
				content = fresh
			}
		}
		text, _ = event.Text(event.Field(content, "body"))
		return keyBody, text
	case p.IsStateOf("m.room.name", ""):
		return keyName, p.ContentString("name")
	case p.IsStateOf("m.room.topic", ""):
		return keyTopic, topicOf(p)
	}
	return "", ""
}

// topicOf returns a topic, and its plain form where it has one that is another. Client-Server API, "Search Categories".
func topicOf(p *event.PDU) string {
	topic := p.ContentString("topic")
	var rich struct {
		Text []struct {
			Body string  `json:"body"`
			MIME *string `json:"mimetype"`
		} `json:"m.text"`
	}
	if raw := p.ContentValue("m.topic"); raw == nil || json.Unmarshal(raw, &rich) != nil {
		return topic
	}
	for _, form := range rich.Text {
		if (form.MIME == nil || *form.MIME == "text/plain") && form.Body != topic {
			return topic + "\n" + form.Body
		}
	}
	return topic
}

// hash returns what the index has in the place of a word, which is of letters and digits. Different kinds of things are kept apart.
func (s *Service) hash(kind byte, text string) string {
	var buf [128]byte
	key := s.key.Load()
	b := append(append(append(buf[:0], key.secret[:]...), kind), text...)
	sum := sha256.Sum256(b)
	return hashForm.EncodeToString(sum[:5])
}

var hashForm = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567")

// The kinds of what is hashed.
const (
	kindWord = 'w'
	kindRoom = 'r'
	kindKey  = 'k'
)

func (s *Service) roomWord(nid int64) string { return s.hash(kindRoom, strconv.FormatInt(nid, 10)) }

// row returns what the index is to have of an event, without words when that is nothing.
func (s *Service) row(e *store.Event) store.SearchRow {
	r := store.SearchRow{NID: e.NID, Pos: e.Pos}
	key, text := textOf(e.PDU)
	if text == "" || e.RedactedBy != 0 {
		return r
	}
	seen := make(map[string]bool)
	words(text, func(w word) bool {
		w.terms(func(term string) {
			if !seen[term] && len(seen) < maxTerms {
				seen[term] = true
				r.Words = append(r.Words, s.hash(kindWord, term))
			}
		})
		return len(seen) < maxTerms
	})
	if len(r.Words) > 0 {
		r.Words = append(r.Words, s.roomWord(e.RoomNID), s.hash(kindKey, key))
	}
	return r
}

// batch is what one step of the indexer has read.
type batch struct {
	generation  int64
	after, upto int64 // positions
	rows        []store.SearchRow
	events      int
	open        map[int64]bool  // rooms that have become open, or ceased to be
	states      map[int64]int64 // by which state sets that was found
	more        bool
}

// catchUp puts all events that are there into the index, and brings the words of users up to date. The caller may not be alone.
func (s *Service) catchUp(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for more := true; more; {
		var err error
		if more, err = s.indexUsers(ctx); err != nil {
			return fmt.Errorf("make the words of users: %w", err)
		}
	}
	for more := true; more; {
		var err error
		if more, err = s.indexSome(ctx); err != nil {
			return fmt.Errorf("index events: %w", err)
		}
	}
	return nil
}

// unindex deletes some of what the index has of events that are gone. Nothing of it is ever found, so no search waits for it.
func (s *Service) unindex(ctx context.Context) (more bool, err error) {
	err = s.DB.Peek(ctx, func(tx *store.Tx) (err error) {
		more, err = tx.AnyDoomed()
		return err
	})
	if err != nil || !more {
		return false, err
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		more, err = tx.UnindexSome()
		return err
	})
	if err != nil {
		return false, fmt.Errorf("delete from the index: %w", err)
	}
	return more, nil
}

// await waits until all events that are there now can be found, but not longer than maxWait: an old database takes its time.
func (s *Service) await(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	err := s.catchUp(limited)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = s.loadKey(ctx)
	}
	return err
}

func (s *Service) loadKey(ctx context.Context) error {
	generation := s.DB.Generation()
	if key := s.key.Load(); key != nil && key.generation == generation {
		return nil
	}
	var key []byte
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		key, err = tx.SearchKey()
		return err
	})
	loaded := &indexKey{generation: generation}
	if err == nil && len(key) != len(loaded.secret) {
		err = fmt.Errorf("it has %d bytes", len(key))
	}
	if err != nil {
		return fmt.Errorf("read the key of the index: %w", err)
	}
	loaded.secret = [32]byte(key)
	s.key.Store(loaded)
	return nil
}

// indexSome takes one step. The caller has the turn.
func (s *Service) indexSome(ctx context.Context) (more bool, err error) {
	if generation := s.DB.Generation(); generation != s.known.generation {
		s.known = newKnown(generation)
	}
	if err := s.loadKey(ctx); err != nil {
		return false, err
	}
	var b *batch
	err = s.DB.View(ctx, func(tx *store.Tx) (err error) {
		b, err = s.read(tx)
		return err
	})
	if err != nil || b == nil {
		return false, err
	}
	// Other rows than events move the stream, too: a cursor that lags behind those alone need not be written.
	if b.events > 0 {
		if err := s.DB.Write(ctx, b.write); err != nil {
			return false, err
		}
	}
	k := &s.known
	if len(k.openStates) > maxOpenStates {
		clear(k.openStates)
	}
	for nid, stateID := range b.states {
		k.openStates[nid] = stateID
	}
	k.reached = b.upto
	// In another generation it all begins again with what is stored.
	return b.more || k.generation != s.DB.Generation(), nil
}

// read reads the next events, and makes of them what the index is to have; nil when there are none.
func (s *Service) read(tx *store.Tx) (*batch, error) {
	upto, err := tx.StreamPos()
	if err != nil {
		return nil, err
	}
	after := s.known.reached
	if after == upto {
		return nil, nil
	}
	stored, err := tx.SearchCursor()
	if err != nil {
		return nil, err
	}
	b := &batch{generation: s.known.generation, after: max(after, stored), upto: upto}
	events, err := tx.StreamEvents(b.after, upto, maxBatch)
	if err != nil {
		return nil, err
	}
	b.events = len(events)
	if b.more = len(events) == maxBatch; b.more {
		b.upto = events[len(events)-1].Pos
	}
	rooms := make(map[int64]bool)
	for _, e := range events {
		rooms[e.RoomNID] = true
		if row := s.row(e); len(row.Words) > 0 {
			b.rows = append(b.rows, row)
		}
	}
	return b, s.readOpen(tx, b, rooms)
}

func (b *batch) write(tx *store.Tx) error {
	// Should somebody else have been here, the next batch begins where they are.
	if tx.Generation() != b.generation {
		return nil
	}
	if cursor, err := tx.SearchCursor(); err != nil || cursor > b.after {
		return err
	}
	for _, row := range b.rows {
		if err := tx.InsertSearchRow(row); err != nil {
			return err
		}
	}
	for nid, open := range b.open {
		if err := tx.SetOpen(nid, open); err != nil {
			return err
		}
	}
	return tx.SetSearchCursor(b.upto)
}

// readOpen finds out which rooms of a batch are open. That does not follow from the batch's events alone, as branches may have met.
func (s *Service) readOpen(tx *store.Tx, b *batch, rooms map[int64]bool) error {
	nids := make([]int64, 0, len(rooms))
	for nid := range rooms {
		nids = append(nids, nid)
	}
	was, states, err := tx.OpenRooms(nids)
	if err != nil {
		return err
	}
	b.states, b.open = states, make(map[int64]bool)
	nids = nids[:0]
	is := make(map[int64]bool)
	for nid, stateID := range states {
		if s.known.openStates[nid] != stateID {
			nids = append(nids, nid)
			is[nid] = false
		}
	}
	events, err := tx.StateOfRooms(nids, []string{event.TypeJoinRules, event.TypeHistoryVisibility})
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.JoinRule() == event.JoinRulePublic || e.HistoryVisibility() == event.VisibilityWorldReadable {
			is[e.RoomNID] = true
		}
	}
	for nid, open := range is {
		if open != was[nid] {
			b.open[nid] = open
		}
	}
	return nil
}

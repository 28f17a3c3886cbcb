package rendezvous_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver/rendezvous"
)

var ctx = context.Background()

func create(t *testing.T, s *rendezvous.Service, owner string) rendezvous.Payload {
	t.Helper()
	p, err := s.Create(ctx, owner, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPingPong has two devices speak in turn.
func TestPingPong(t *testing.T) {
	s := rendezvous.New()
	created := create(t, s, "a")
	token := created.Token
	for i := range 10 {
		said := fmt.Sprint("message ", i)
		written, err := s.Write(ctx, created.ID, rendezvous.Write{Token: token, Data: said})
		if err != nil {
			t.Fatal(err)
		}
		read, err := s.Read(ctx, created.ID)
		if err != nil || read != written || read.Data != said || read.Token == token || read.ExpiresTS != created.ExpiresTS {
			t.Fatalf("%+v %v, want %q, another token than %q, and the same expiry as %+v", read, err, said, token, created)
		}
		token = read.Token
	}
	same, err := s.Write(ctx, created.ID, rendezvous.Write{Token: token, Data: "message 9"})
	if err != nil || same.Token == token {
		t.Errorf("the same once more: %+v %v, want another token than %s", same, err, token)
	}
	if err := s.Delete(ctx, created.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.Write(ctx, created.ID, rendezvous.Write{Token: same.Token})
	_, readErr := s.Read(ctx, created.ID)
	for _, err := range []error{err, readErr, s.Delete(ctx, created.ID)} {
		if !errors.Is(err, rendezvous.ErrNotFound) {
			t.Errorf("after the end: %v", err)
		}
	}
}

// TestExpiry: a session lasts as long as it was said to, whatever is done with it, and counts no longer.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rendezvous.New()
		p := create(t, s, "a")
		if want := time.Now().Add(rendezvous.Lifetime).UnixMilli(); p.ExpiresTS != want {
			t.Errorf("expires at %d, want %d", p.ExpiresTS, want)
		}
		time.Sleep(rendezvous.Lifetime - time.Millisecond)
		p, err := s.Write(ctx, p.ID, rendezvous.Write{Token: p.Token, Data: "late"})
		if err != nil || p.ModifiedTS != p.ExpiresTS-1 {
			t.Fatalf("%+v %v", p, err)
		}
		time.Sleep(time.Millisecond)
		if _, err := s.Read(ctx, p.ID); !errors.Is(err, rendezvous.ErrNotFound) {
			t.Errorf("after its time: %v", err)
		}
		if _, err := s.Write(ctx, p.ID, rendezvous.Write{Token: p.Token}); !errors.Is(err, rendezvous.ErrNotFound) {
			t.Errorf("written after its time: %v", err)
		}
		// All that one may have, again and again: what has expired makes room.
		for range 3 {
			n := 0
			for ; ; n++ {
				if _, err := s.Create(ctx, "b", ""); err != nil {
					break
				}
			}
			if n != rendezvous.MaxOwned {
				t.Errorf("%d sessions of one, want %d", n, rendezvous.MaxOwned)
			}
			time.Sleep(rendezvous.Lifetime)
			synctest.Wait()
			if sessions, owners := s.Count(); sessions != 0 || owners != 0 {
				t.Errorf("%d sessions of %d are left", sessions, owners)
			}
		}
	})
}

// TestFlood has one, and then everybody, begin as many sessions as they can: those that there are go on.
func TestFlood(t *testing.T) {
	s := rendezvous.New()
	mine := create(t, s, "me")
	refused := 0
	for range 10_000 {
		if _, err := s.Create(ctx, "one", strings.Repeat("x", rendezvous.MaxPayload)); errors.Is(err, rendezvous.ErrTooMany) {
			refused++
		}
	}
	if refused != 10_000-rendezvous.MaxOwned {
		t.Errorf("%d of one were refused", refused)
	}
	create(t, s, "another")
	for i := range 10_000 {
		_, _ = s.Create(ctx, fmt.Sprint(i), "")
	}
	if n, _ := s.Count(); n != rendezvous.MaxSessions {
		t.Errorf("there are %d sessions, want %d", n, rendezvous.MaxSessions)
	}
	if _, err := s.Create(ctx, "late", ""); !errors.Is(err, rendezvous.ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := s.Write(ctx, mine.ID, rendezvous.Write{Token: mine.Token, Data: "still here"}); err != nil {
		t.Error(err)
	}
	if err := s.Delete(ctx, mine.ID); err != nil {
		t.Fatal(err)
	}
	create(t, s, "late")
}

// TestOneWriterWins has many write at once what they have seen the same payload for, with and without transaction ids.
func TestOneWriterWins(t *testing.T) {
	for _, name := range []string{"", "txn"} {
		s := rendezvous.New()
		p := create(t, s, "a")
		var (
			all  sync.WaitGroup
			wins atomic.Int32
			won  atomic.Value
		)
		for i := range 50 {
			all.Go(func() {
				w := rendezvous.Write{Token: p.Token, Data: fmt.Sprint(i)}
				if name != "" {
					w.TxnID = fmt.Sprint(name, i)
				}
				switch got, err := s.Write(ctx, p.ID, w); {
				case err == nil:
					wins.Add(1)
					won.Store(got)
				case !errors.Is(err, rendezvous.ErrConcurrentWrite) || got.Token == p.Token:
					t.Errorf("%+v %v", got, err)
				}
			})
		}
		all.Wait()
		if wins.Load() != 1 {
			t.Fatalf("%d writers won", wins.Load())
		}
		if now, err := s.Read(ctx, p.ID); err != nil || now != won.Load().(rendezvous.Payload) {
			t.Errorf("%+v %v is there, %+v has won", now, err, won.Load())
		}
	}
}

// TestTransactions repeats writes whose answers were lost (MSC4388, PUT).
func TestTransactions(t *testing.T) {
	s := rendezvous.New()
	p := create(t, s, "a")
	write := func(token, data, txn string) (string, error) {
		got, err := s.Write(ctx, p.ID, rendezvous.Write{Token: token, Data: data, TxnID: txn})
		return got.Token, err
	}
	first, err := write(p.Token, "one", "t1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write(p.Token, "two", "t2"); !errors.Is(err, rendezvous.ErrConcurrentWrite) {
		t.Fatal(err)
	}
	third, err := write(first, "three", "t3")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := write(p.Token, "one", "t1"); err != nil || again != first {
		t.Errorf("the first again: %s %v, want %s", again, err, first)
	}
	if again, err := write(third, "other", "t1"); err != nil || again != first {
		t.Errorf("another with its transaction: %s %v, want %s", again, err, first)
	}
	if _, err := write(third, "two", "t2"); !errors.Is(err, rendezvous.ErrConcurrentWrite) {
		t.Errorf("the one that was refused: %v", err)
	}
	if now, err := s.Read(ctx, p.ID); err != nil || now.Data != "three" {
		t.Errorf("%+v %v", now, err)
	}
	for i := range rendezvous.MaxWrites {
		_, err = write("", "", fmt.Sprint(i))
	}
	if !errors.Is(err, rendezvous.ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
	if again, err := write(p.Token, "one", "t1"); err != nil || again != first {
		t.Errorf("the first once more: %s %v", again, err)
	}
}

// FuzzPayload writes what nobody would.
func FuzzPayload(f *testing.F) {
	for _, seed := range []string{"", "x", "\xff", "<script>", strings.Repeat("x", rendezvous.MaxPayload), strings.Repeat("ä", rendezvous.MaxPayload)} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		s := rendezvous.New()
		p, err := s.Create(ctx, "a", first)
		if err != nil {
			p = create(t, s, "a")
		} else if len(first) > rendezvous.MaxPayload || p.Data != first {
			t.Fatalf("%+v of %q", p, first)
		}
		written, err := s.Write(ctx, p.ID, rendezvous.Write{Token: p.Token, Data: second, TxnID: second})
		now, readErr := s.Read(ctx, p.ID)
		if readErr != nil || err == nil && now != written || err != nil && now != p {
			t.Fatalf("%+v is there after %+v %v", now, written, err)
		}
	})
}

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// loginAccounts is how many accounts log in by turns, and loginsAtOnce how many at a time.
	loginAccounts = 40
	loginsAtOnce  = 8
	// besideSyncs is how often /sync is asked while others log in, and besideEvery the pause between two.
	besideSyncs = 1000
	besideEvery = 20 * time.Millisecond
)

// loginsOf measures logins by password, and what a user's /sync with nothing new takes beside them.
func (s *stage) loginsOf(ctx context.Context, _ *reads) error {
	people, err := s.cast(ctx, 1)
	if err != nil {
		return err
	}
	names, err := s.passwords(ctx, loginAccounts)
	if err != nil {
		return err
	}
	var answer bytes.Buffer
	if _, err := s.get(ctx, people[0], http.MethodGet, syncPath, nil, &answer); err != nil {
		return err
	}
	since, err := nextBatch(answer.Bytes())
	if err != nil {
		return err
	}
	beside := func(name string) error {
		return s.paced(ctx, name, besideSyncs, besideEvery, func(int) (int64, error) {
			return s.get(ctx, people[0], http.MethodGet, syncPath+"?timeout=0&since="+since, nil, nil)
		})
	}
	if err := beside("sync with nothing new, nobody logs in"); err != nil {
		return err
	}
	var mu sync.Mutex
	var took []time.Duration
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var workers errgroup.Group
	start := time.Now()
	for w := range loginsAtOnce {
		workers.Go(func() error {
			for i := w; loading.Err() == nil; i += loginsAtOnce {
				began := time.Now()
				if _, err := s.login(loading, names[i%len(names)]); err != nil {
					return quietly(loading, err)
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
			return nil
		})
	}
	err = beside(fmt.Sprintf("sync with nothing new, %d log in at a time", loginsAtOnce))
	lasted := time.Since(start)
	stop()
	if failed := workers.Wait(); err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	s.add(Figure{
		Engine: s.engine, Name: fmt.Sprintf("login by password, %d at a time", loginsAtOnce), N: len(took), Latencies: latencies(took),
		Note: fmt.Sprintf("%.1f a second", float64(len(took))/lasted.Seconds()),
	})
	return nil
}

// passwords registers n users, and returns each as name:password.
func (s *stage) passwords(ctx context.Context, n int) ([]string, error) {
	names := make([]string, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(setupAtOnce)
	for i := range names {
		s.registered++
		name := fmt.Sprintf("bench_%s_%d", s.run, s.registered)
		group.Go(func() error {
			password := rand.Text()
			names[i] = name + ":" + password
			_, err := s.registerWith(ctx, name, password, "")
			return err
		})
	}
	return names, group.Wait()
}

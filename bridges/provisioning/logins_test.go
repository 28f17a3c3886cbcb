package provisioning

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/id"
)

// slowFlow waits until it is cancelled.
type slowFlow struct{ cancelled int }

func (f *slowFlow) Start(ctx context.Context) (*bridgev2.LoginStep, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
func (f *slowFlow) Cancel() { f.cancelled++ }

// left is how many logins are kept.
func (a *API) left() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(len(a.logins), len(a.newest))
}

// Wait waits for nothing.
func (f *slowFlow) Wait(context.Context) (*bridgev2.LoginStep, error) { return nil, nil }

// TestStepBeforeTheFirst has somebody guess the ID of a login that has no step yet.
func TestStepBeforeTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &API{lifetime: lifetime, logins: map[string]*process{}, newest: map[id.UserID][]*process{}}
		a.Start(t.Context())
		flow := new(slowFlow)
		p := &process{id: "x", owner: "@alice:test", flow: flow}
		if err := a.enter(p, zerolog.Nop()); err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		a.begin(p, flow.Start)
		p.mu.Unlock()
		if _, err := a.submit(t.Context(), p, "s", "", bridgev2.LoginStepTypeDisplayAndWait, flow.Wait); !errors.Is(err, errBadState) {
			t.Errorf("a step: got %v, want %v", err, errBadState)
		}
		if _, _, err := p.leaving("s", ""); !errors.Is(err, errBadState) {
			t.Errorf("the step back: got %v, want %v", err, errBadState)
		}
		a.Stop(t.Context())
	})
}

// counted is a context that counts what is to be done at its end.
type counted struct {
	context.Context
	done  chan struct{}
	count int
}

// Done is a channel of its own, so that it is not passed over.
func (c *counted) Done() <-chan struct{} { return c.done }

// AfterFunc is what context.AfterFunc calls.
func (c *counted) AfterFunc(func()) (stop func() bool) {
	c.count++
	return func() bool { c.count--; return true }
}

// TestLoginIsForgotten has the bridge's end wait for no logins that were given up.
func TestLoginIsForgotten(t *testing.T) {
	life := &counted{Context: t.Context(), done: make(chan struct{})}
	a := &API{lifetime: lifetime, ctx: life, logins: map[string]*process{}, newest: map[id.UserID][]*process{}}
	p := &process{id: "x", owner: "@alice:test", flow: new(slowFlow)}
	if err := a.enter(p, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	if life.count == 0 {
		t.Error("nothing waits for the end of the bridge")
	}
	p.stopFor(errCancelled)
	a.leave(p)
	if life.count != 0 || a.left() != 0 {
		t.Errorf("%d wait for the end of the bridge, and %d logins are known, want none", life.count, a.left())
	}
}

// TestLoginExpires has a login end by itself, and one with the bridge, each with what waits for it.
func TestLoginExpires(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(t *testing.T, a *API)
		want error
	}{
		{"too long", func(*testing.T, *API) { time.Sleep(lifetime) }, errTimedOut},
		{"the bridge stops", func(t *testing.T, a *API) { a.Stop(t.Context()) }, errNotRunning},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &API{lifetime: lifetime, logins: map[string]*process{}, newest: map[id.UserID][]*process{}}
				a.Start(t.Context())
				flow := new(slowFlow)
				p := &process{id: "x", owner: "@alice:test", flow: flow}
				if err := a.enter(p, zerolog.Nop()); err != nil {
					t.Fatal(err)
				}
				p.mu.Lock()
				a.begin(p, flow.Start)
				under := p.under
				p.mu.Unlock()
				synctest.Wait()
				if _, err := p.now(); err != nil || a.left() != 1 {
					t.Fatalf("got %v, want a login that is under way", err)
				}
				test.end(t, a)
				synctest.Wait()
				if _, err := p.await(t.Context(), under); !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				if left := a.left(); errors.Is(test.want, errTimedOut) && left != 0 {
					t.Errorf("got %d logins, want none", left)
				}
				if flow.cancelled != 1 {
					t.Errorf("the flow was cancelled %d times", flow.cancelled)
				}
				a.Stop(t.Context())
			})
		})
	}
}

// TestCompleteWithoutLogin has a connector end a login without saying which it is, as some do, also where it takes the place of another.
func TestCompleteWithoutLogin(t *testing.T) {
	for _, override := range []*bridgev2.UserLogin{nil, {UserLogin: &database.UserLogin{ID: "before"}}} {
		a := &API{lifetime: lifetime, logins: map[string]*process{}, newest: map[id.UserID][]*process{}}
		a.Start(t.Context())
		p := &process{id: "x", owner: "@alice:test", flow: new(slowFlow), override: override}
		if err := a.enter(p, zerolog.Nop()); err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		a.begin(p, func(context.Context) (*bridgev2.LoginStep, error) {
			return &bridgev2.LoginStep{Type: bridgev2.LoginStepTypeComplete, StepID: "done"}, nil
		})
		under := p.under
		p.mu.Unlock()
		if step, err := p.await(t.Context(), under); err != nil || step.Type != bridgev2.LoginStepTypeComplete {
			t.Errorf("got %v, %v, want a login that is complete", step, err)
		}
		a.Stop(t.Context())
	}
}

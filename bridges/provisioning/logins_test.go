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

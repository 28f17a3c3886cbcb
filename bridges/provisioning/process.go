package provisioning

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"sync"

	"github.com/rs/xid"
	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/id"
)

// Codes are those of bridgev2.
var (
	errTooManyLogins = mautrix.RespError{ErrCode: "FI.MAU.BRIDGE.TOO_MANY_LOGINS", Err: "You have as many logins as you may have", StatusCode: http.StatusForbidden}
	errCancelled     = mautrix.RespError{ErrCode: "FI.MAU.BRIDGE.LOGIN_CANCELLED", Err: "Signing in was cancelled", StatusCode: http.StatusGone}
	errTimedOut      = mautrix.RespError{ErrCode: "FI.MAU.BRIDGE.LOGIN_TIMED_OUT", Err: "Signing in took too long", StatusCode: http.StatusGone}
	errFinished      = mautrix.RespError{ErrCode: "FI.MAU.BRIDGE.LOGIN_ALREADY_FINISHED", Err: "You are signed in already", StatusCode: http.StatusGone}
	errBadState      = mautrix.RespError{ErrCode: "M_BAD_STATE", Err: "This is not the step that signing in is at", StatusCode: http.StatusConflict}
)

// process is one run of a login flow, of one person.
type process struct {
	id       string
	owner    id.UserID
	flow     bridgev2.LoginProcess
	override *bridgev2.UserLogin // which the new login takes the place of, nil for none

	// ctx is the life of the process: it outlasts the requests that drive it.
	ctx context.Context
	end context.CancelCauseFunc
	// forget has nobody wait for the end of the bridge, or of the process's time, on its behalf.
	forget func()

	mu       sync.Mutex          // guards what follows
	step     *bridgev2.LoginStep // what is to be done now, nil before the first
	previous string              // transaction ID of the step before
	under    *attempt            // the step that is being done, nil for none
	err      error               // why there is nothing more to be done
}

// attempt is a step that the network is asked to take.
type attempt struct {
	done chan struct{} // closed at its end
	stop context.CancelCauseFunc
}

// act is what an attempt does.
type act func(ctx context.Context) (*bridgev2.LoginStep, error)

// now is the step that a process is at.
func (p *process) now() (*bridgev2.LoginStep, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.step, p.err
}

// at checks that a step is what a process is at. It returns true for the step before, whose answer got lost: what it led to is to be
// answered again.
func (p *process) at(stepID, txnID string, stepType bridgev2.LoginStepType) (again bool, err error) {
	switch {
	case p.err != nil:
		return false, p.err
	case p.step == nil:
		return false, errBadState
	case txnID != "" && txnID == p.previous:
		return true, nil
	case p.step.Type == bridgev2.LoginStepTypeComplete:
		return false, errFinished
	case p.step.StepID != stepID, txnID != "" && p.step.TxnID != txnID, stepType != "" && p.step.Type != stepType:
		return false, errBadState
	}
	return false, nil
}

// submit does a step, unless that is under way, and returns what comes after it. When ctx ends before, the step goes on.
func (a *API) submit(ctx context.Context, p *process, stepID, txnID string, stepType bridgev2.LoginStepType, do act) (*bridgev2.LoginStep, error) {
	p.mu.Lock()
	again, err := p.at(stepID, txnID, stepType)
	if err != nil || again {
		defer p.mu.Unlock()
		return p.step, err
	}
	if p.under == nil {
		a.begin(p, do)
	}
	under := p.under
	p.mu.Unlock()
	return p.await(ctx, under)
}

// await waits for the end of a step.
func (p *process) await(ctx context.Context, under *attempt) (*bridgev2.LoginStep, error) {
	select {
	case <-under.done:
		return p.now()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin has the network take a step. p.mu is held.
func (a *API) begin(p *process, do act) {
	ctx, stop := context.WithCancelCause(p.ctx)
	under := &attempt{done: make(chan struct{}), stop: stop}
	p.under = under
	a.running.Go(func() {
		defer stop(nil)
		next, err := guarded(ctx, do)
		a.took(p, under, next, err)
	})
}

// guarded is an act whose panic is an error.
func guarded(ctx context.Context, do act) (next *bridgev2.LoginStep, err error) {
	defer func() {
		if v := recover(); v != nil {
			zerolog.Ctx(ctx).Error().Bytes(zerolog.ErrorStackFieldName, debug.Stack()).Msgf("Panic in a login: %v", v)
			err = mautrix.MUnknown.WithMessage("The bridge has a fault in this way of signing in")
		}
	}()
	return do(ctx)
}

// took notes what a step has led to.
func (a *API) took(p *process, under *attempt, next *bridgev2.LoginStep, err error) {
	if err == nil {
		err = check(next)
	}
	if err != nil && p.ctx.Err() != nil {
		err = errNotRunning // counts only where nothing else has ended it
	}
	p.mu.Lock()
	defer func() {
		p.mu.Unlock()
		close(under.done)
	}()
	p.under = nil
	switch {
	case p.err != nil: // it was cancelled meanwhile
	case errors.Is(err, bridgev2.ErrLoginStepCancelled): // and is at the same step
	case err != nil:
		p.err = matrixError(p.ctx, err)
		p.flow.Cancel()
		p.end(p.err)
	default:
		next.TxnID = "bls_" + xid.New().String()
		if p.step != nil {
			p.previous = p.step.TxnID
		}
		p.step = next
		if next.Type == bridgev2.LoginStepTypeComplete {
			a.complete(p)
		}
	}
}

// check says what is wrong with a step of a connector.
func check(next *bridgev2.LoginStep) error {
	if next == nil {
		return errors.New("the connector has no next step")
	}
	has := map[bridgev2.LoginStepType]bool{
		bridgev2.LoginStepTypeUserInput:      next.UserInputParams != nil,
		bridgev2.LoginStepTypeCookies:        next.CookiesParams != nil,
		bridgev2.LoginStepTypeDisplayAndWait: next.DisplayAndWaitParams != nil,
		bridgev2.LoginStepTypeWebAuthn:       next.WebAuthnParams != nil,
		bridgev2.LoginStepTypeComplete:       true, // some connectors do not say which login it is
	}[next.Type]
	if !has {
		return fmt.Errorf("the connector's next step is a %q that cannot be shown", next.Type)
	}
	if next.Type == bridgev2.LoginStepTypeUserInput {
		for i := range next.UserInputParams.Fields {
			field := &next.UserInputParams.Fields[i]
			if pattern, err := regexp.Compile(field.Pattern); err == nil && field.Pattern != "" && field.Validate == nil {
				field.Validate = func(text string) (string, error) {
					if !pattern.MatchString(text) {
						return "", errors.New(unlike)
					}
					return text, nil
				}
			}
			field.FillDefaultValidate()
		}
	}
	return nil
}

// unlike is said of what does not fit a pattern, which says little to people.
const unlike = "this does not look like what is needed"

// complete ends a process that has led to a login. One that it takes the place of is logged out. p.mu is held.
func (a *API) complete(p *process) {
	old, made := p.override, p.step.CompleteParams
	if old != nil && made != nil && old.ID != made.UserLoginID {
		ctx := zerolog.Ctx(p.ctx).WithContext(context.WithoutCancel(p.ctx))
		old.Delete(ctx, status.BridgeState{StateEvent: status.StateLoggedOut, Reason: "LOGIN_OVERRIDDEN"}, bridgev2.DeleteOpts{LogoutRemote: true})
	}
	p.end(nil)
}

// stopFor ends a process that is not at its end yet, for a reason.
func (p *process) stopFor(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil || p.step != nil && p.step.Type == bridgev2.LoginStepTypeComplete {
		return
	}
	p.err = reason
	p.flow.Cancel()
	p.end(reason)
}

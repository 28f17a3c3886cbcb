package provisioning

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/rs/xid"
	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
)

const (
	// lifetime is how long a login may take, as in bridgev2.
	lifetime = 30 * time.Minute
	// maxOfOne is how many logins of one person may be under way; the oldest is given up for one more.
	maxOfOne = 5
	// maxLogins is how many may be under way in all.
	maxLogins = 1000
	// maxValue bounds what is entered into one field, in bytes.
	maxValue = 32 << 10
)

var errNoProcess = mautrix.MNotFound.WithMessage("There is no such login under way: it may have taken too long")

// stepAnswer is a step of a login as a client gets it.
type stepAnswer struct {
	LoginID string `json:"login_id"`
	*bridgev2.LoginStep
}

// answer is the step that a process has come to.
func (p *process) answer(step *bridgev2.LoginStep, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return stepAnswer{p.id, step}, nil
}

// start is POST /v3/login/start/{flowID}.
func (a *API) start(ctx context.Context, p person) (any, error) {
	override, err := a.namedLogin(p)
	if err != nil {
		return nil, err
	}
	if override == nil && p.HasTooManyLogins() {
		return nil, errTooManyLogins
	}
	flow, err := a.bridge.Network.CreateLogin(ctx, p.User, p.pathValue("flowID"))
	if err != nil {
		return nil, err
	}
	login := &process{id: xid.New().String(), owner: p.MXID, flow: flow, override: override}
	if err := a.enter(login, p.Log); err != nil {
		flow.Cancel()
		return nil, err
	}
	login.mu.Lock()
	a.begin(login, func(ctx context.Context) (*bridgev2.LoginStep, error) { return first(ctx, flow, override) })
	under := login.under
	login.mu.Unlock()
	step, err := login.await(ctx, under)
	if ctx.Err() != nil { // nobody knows of it
		login.stopFor(errCancelled)
		a.leave(login)
	}
	return login.answer(step, err)
}

// first begins a flow.
func first(ctx context.Context, flow bridgev2.LoginProcess, override *bridgev2.UserLogin) (*bridgev2.LoginStep, error) {
	switch flow := flow.(type) {
	case bridgev2.LoginProcessWithParams:
		return flow.StartWithParams(ctx, bridgev2.LoginStartParams{Override: override})
	case bridgev2.LoginProcessWithOverride:
		if override != nil {
			return flow.StartWithOverride(ctx, override)
		}
	}
	return flow.Start(ctx)
}

// enter makes a process known, for as long as it may take.
func (a *API) enter(p *process, log zerolog.Logger) error {
	a.mu.Lock()
	life := a.ctx
	switch {
	case life == nil:
		a.mu.Unlock()
		return errNotRunning
	case len(a.logins) >= maxLogins:
		a.mu.Unlock()
		return mautrix.MLimitExceeded.WithMessage("Too many people sign in at the moment").WithStatus(http.StatusTooManyRequests)
	}
	p.ctx, p.end = context.WithCancelCause(log.WithContext(life))
	// What a process has come to is known until then, also when it has ended long before.
	timer := time.AfterFunc(a.lifetime, func() {
		p.stopFor(errTimedOut)
		a.leave(p)
	})
	stop := context.AfterFunc(life, func() {
		timer.Stop()
		p.stopFor(errNotRunning)
	})
	p.forget = func() {
		timer.Stop()
		stop()
	}
	a.logins[p.id] = p
	var given *process
	if all := a.newest[p.owner]; len(all) >= maxOfOne {
		given = all[0]
	}
	a.newest[p.owner] = append(a.newest[p.owner], p)
	a.mu.Unlock()
	if given != nil {
		given.stopFor(errCancelled)
		a.leave(given)
	}
	return nil
}

// leave forgets a process.
func (a *API) leave(p *process) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.forget()
	delete(a.logins, p.id)
	rest := slices.DeleteFunc(a.newest[p.owner], func(other *process) bool { return other == p })
	if a.newest[p.owner] = rest; len(rest) == 0 {
		delete(a.newest, p.owner)
	}
}

// process is the login that a request is about. That of somebody else is none.
func (a *API) process(p person) (*process, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	login, ok := a.logins[p.pathValue("loginProcessID")]
	if !ok || login.owner != p.MXID {
		return nil, errNoProcess
	}
	return login, nil
}

// current is GET /v3/login/step/{loginProcessID}, which bridgev2 does not have: the step that a login is at.
func (a *API) current(_ context.Context, p person) (any, error) {
	login, err := a.process(p)
	if err != nil {
		return nil, err
	}
	step, err := login.now()
	if err == nil && step == nil {
		return nil, errNoProcess
	}
	return login.answer(step, err)
}

// step is POST /v3/login/step/{loginProcessID}/{stepID}/{stepType}.
func (a *API) step(ctx context.Context, p person) (any, error) {
	login, err := a.process(p)
	if err != nil {
		return nil, err
	}
	kind := bridgev2.LoginStepType(p.pathValue("stepType"))
	do, err := login.act(p, kind)
	if err != nil {
		return nil, err
	}
	return login.answer(a.submit(ctx, login, p.pathValue("stepID"), p.query().Get("txn_id"), kind, do))
}

// act is what a request for a step is to do. Errors of what a person has entered do not end the login.
func (p *process) act(from person, kind bridgev2.LoginStepType) (act, error) {
	unfit := mautrix.MUnrecognized.WithMessage("This login has no step of the type %q", string(kind)).WithStatus(http.StatusBadRequest)
	switch kind {
	case bridgev2.LoginStepTypeUserInput:
		flow, ok := p.flow.(bridgev2.LoginProcessUserInput)
		if !ok {
			return nil, unfit
		}
		in, err := p.entered(from)
		return func(ctx context.Context) (*bridgev2.LoginStep, error) { return flow.SubmitUserInput(ctx, in) }, err
	case bridgev2.LoginStepTypeCookies:
		flow, ok := p.flow.(bridgev2.LoginProcessCookies)
		if !ok {
			return nil, unfit
		}
		in, err := p.entered(from)
		return func(ctx context.Context) (*bridgev2.LoginStep, error) { return flow.SubmitCookies(ctx, in) }, err
	case bridgev2.LoginStepTypeWebAuthn:
		flow, ok := p.flow.(bridgev2.LoginProcessWebAuthn)
		if !ok {
			return nil, unfit
		}
		var raw json.RawMessage
		err := decode(from, &raw)
		return func(ctx context.Context) (*bridgev2.LoginStep, error) { return flow.SubmitWebAuthnResponse(ctx, raw) }, err
	case bridgev2.LoginStepTypeDisplayAndWait:
		flow, ok := p.flow.(bridgev2.LoginProcessDisplayAndWait)
		if !ok {
			return nil, unfit
		}
		return flow.Wait, nil
	case bridgev2.LoginStepTypeComplete:
		return nil, errFinished
	}
	return nil, unfit
}

// entered reads what a person has entered into the fields of the step that a process is at, and sees to it that it can be right.
func (p *process) entered(from person) (map[string]string, error) {
	var in map[string]string
	if err := decode(from, &in); err != nil {
		return nil, err
	}
	step, err := p.now()
	if err != nil {
		return nil, err
	}
	if step == nil {
		return nil, errNoProcess
	}
	if txn := from.query().Get("txn_id"); step.StepID != from.pathValue("stepID") || txn != "" && txn != step.TxnID {
		return nil, nil // submit knows what that is
	}
	switch {
	case step.UserInputParams != nil:
		return enteredFields(step.UserInputParams.Fields, in)
	case step.CookiesParams != nil:
		return enteredCookies(step.CookiesParams.Fields, in)
	}
	return nil, nil
}

// wrongField is the error of what was entered into a field: field is its ID, beside errcode and error.
func wrongField(field, format string, args ...any) error {
	return mautrix.MInvalidParam.WithMessage(format, args...).WithExtraData(map[string]any{"field": field})
}

func enteredFields(fields []bridgev2.LoginInputDataField, in map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(fields))
	for _, field := range fields {
		text, has := in[field.ID]
		switch {
		case len(text) > maxValue:
			return nil, wrongField(field.ID, "This is too long")
		case !has && field.Type == bridgev2.LoginInputFieldTypeSelect:
			text = field.DefaultValue
		}
		clean, err := field.Validate(text)
		if err != nil {
			return nil, wrongField(field.ID, "%s", sentence(err.Error()))
		}
		if field.Type == bridgev2.LoginInputFieldTypeSelect && len(field.Options) > 0 && !slices.Contains(field.Options, clean) {
			return nil, wrongField(field.ID, "This is none of what there is to choose from")
		}
		out[field.ID] = clean
	}
	return out, nil
}

func enteredCookies(fields []bridgev2.LoginCookieField, in map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(fields))
	for _, field := range fields {
		text := in[field.ID]
		switch {
		case text == "" && field.Required:
			return nil, wrongField(field.ID, "This is needed")
		case text == "":
			continue
		case len(text) > maxValue:
			return nil, wrongField(field.ID, "This is too long")
		}
		if field.Pattern != "" {
			// A pattern is for JavaScript, and one that Go does not know is left to the network.
			if pattern, err := regexp.Compile(field.Pattern); err == nil && !pattern.MatchString(text) {
				return nil, wrongField(field.ID, unlike)
			}
		}
		out[field.ID] = text
	}
	return out, nil
}

// stepBack is POST /v3/login/step/{loginProcessID}/{stepID}/cancel: it goes back from a step that says that one can.
func (a *API) stepBack(ctx context.Context, p person) (any, error) {
	login, err := a.process(p)
	if err != nil {
		return nil, err
	}
	stepID, txnID := p.pathValue("stepID"), p.query().Get("txn_id")
	flow, under, err := login.leaving(stepID, txnID)
	if err != nil {
		return nil, err
	}
	if under != nil {
		under.stop(bridgev2.ErrLoginStepCancelled)
		if _, err := login.await(ctx, under); err != nil {
			return nil, err
		}
	}
	return login.answer(a.submit(ctx, login, stepID, txnID, "", flow.CancelStep))
}

// leaving is what a step is left by, and the wait to be ended before, nil for none.
func (p *process) leaving(stepID, txnID string) (bridgev2.LoginProcessStepCancel, *attempt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again, err := p.at(stepID, txnID, "")
	if err != nil {
		return nil, nil, err
	}
	flow, ok := p.flow.(bridgev2.LoginProcessStepCancel)
	can := p.step.DisplayAndWaitParams != nil && p.step.DisplayAndWaitParams.CanCancel ||
		p.step.UserInputParams != nil && p.step.UserInputParams.CanCancel
	waits := p.step.Type == bridgev2.LoginStepTypeDisplayAndWait
	if again || !ok || !can || p.under != nil && !waits {
		return nil, nil, errBadState
	}
	return flow, p.under, nil
}

// cancelLogin is POST /v3/login/cancel/{loginProcessID}.
func (a *API) cancelLogin(_ context.Context, p person) (any, error) {
	login, err := a.process(p)
	if err != nil {
		return nil, err
	}
	login.stopFor(errCancelled)
	a.leave(login)
	return struct{}{}, nil
}

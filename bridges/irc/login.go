package irc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"

	"causeway/bridges"
)

// The login flows.
const (
	flowPassword    = "password"
	flowCertificate = "certificate"
	flowNick        = "nick"
)

const (
	// loginWait is how long a login flow waits for the network's answer; it may come later.
	loginWait = 45 * time.Second
	// maxPassword and maxAccount bound what is stored, in bytes, so that IDENTIFY fits into a line.
	maxPassword = 300
	maxAccount  = 64
	// noAnswer is how a command leaves a field empty.
	noAnswer = "-"
)

// GetLoginFlows implements bridgev2.NetworkConnector. Nobody needs one: people are on IRC by joining a room. The flows are for
// who has an account there, or wants another nick.
func (c *Connector) GetLoginFlows() []bridgev2.LoginFlow {
	return []bridgev2.LoginFlow{
		{ID: flowPassword, Name: "Account", Description: "Log in to your account on an IRC network, by SASL or NickServ"},
		{ID: flowCertificate, Name: "Certificate", Description: "Log in by a client certificate (CertFP, SASL EXTERNAL), which the bridge makes for you"},
		{ID: flowNick, Name: "Nick", Description: "Choose your nick, without an account"},
	}
}

// CreateLogin implements bridgev2.NetworkConnector.
func (c *Connector) CreateLogin(_ context.Context, user *bridgev2.User, flowID string) (bridgev2.LoginProcess, error) {
	if !slices.Contains([]string{flowPassword, flowCertificate, flowNick}, flowID) {
		return nil, bridgev2.ErrInvalidLoginFlowID
	}
	if len(c.networks) == 0 {
		return nil, errors.New("no IRC network is configured")
	}
	return &loginProcess{connector: c, user: user, flow: flowID}, nil
}

// loginProcess is one run of a flow: a form, and the answer of the network.
type loginProcess struct {
	connector *Connector
	user      *bridgev2.User
	flow      string
	override  *bridgev2.UserLogin
}

var (
	_ bridgev2.LoginProcessUserInput    = (*loginProcess)(nil)
	_ bridgev2.LoginProcessWithOverride = (*loginProcess)(nil)
)

// Cancel implements bridgev2.LoginProcess. Nothing is under way between the steps.
func (p *loginProcess) Cancel() {}

// StartWithOverride implements bridgev2.LoginProcessWithOverride: the network is that of the login.
func (p *loginProcess) StartWithOverride(ctx context.Context, login *bridgev2.UserLogin) (*bridgev2.LoginStep, error) {
	if login.UserMXID != p.user.MXID {
		return nil, errors.New("this login is somebody else's")
	}
	p.override = login
	return p.Start(ctx)
}

// Start implements bridgev2.LoginProcess.
func (p *loginProcess) Start(ctx context.Context) (*bridgev2.LoginStep, error) {
	fields := []bridgev2.LoginInputDataField{p.networkField(), {
		Type: bridgev2.LoginInputFieldTypeUsername, ID: "nick", Name: "nick",
		Description: "What you want to be called, or - for what this bridge would call you.", Validate: optionalNick,
	}}
	switch p.flow {
	case flowPassword:
		fields = append(fields, accountField, bridgev2.LoginInputDataField{
			Type: bridgev2.LoginInputFieldTypePassword, ID: "password", Name: "password",
			Description: "The password of your account. It is stored encrypted, and sent to the network only.",
			Validate:    validPassword,
		}, bridgev2.LoginInputDataField{
			Type: bridgev2.LoginInputFieldTypeSelect, ID: "mechanism", Name: "mechanism", DefaultValue: mechAuto,
			Description: "How to log in; auto is the best that the network offers.",
			Options:     []string{mechAuto, mechSCRAM, mechPlain, mechNickServ}, Validate: validMechanism,
		})
	case flowCertificate:
		fields = append(fields, accountField)
	}
	step := &bridgev2.LoginStep{
		Type: bridgev2.LoginStepTypeUserInput, StepID: "causeway.irc." + p.flow,
		Instructions:    "Do this in a room that you share with the bot only, and remove your password from it afterwards.",
		UserInputParams: &bridgev2.LoginUserInputParams{Fields: fields},
	}
	if bridges.ByForm(ctx) {
		step.Instructions = ""
		for i, field := range fields {
			fields[i].Description = strings.Replace(field.Description, ", or "+noAnswer+" ", ", or nothing ", 1)
		}
	}
	return step, nil
}

var accountField = bridgev2.LoginInputDataField{
	Type: bridgev2.LoginInputFieldTypeUsername, ID: "username", Name: "user name",
	Description: "The name of your account on the network, or - if it is your nick.", Validate: optionalAccount,
}

func (p *loginProcess) networkField() bridgev2.LoginInputDataField {
	names := slices.Sorted(maps.Keys(p.connector.networks))
	return bridgev2.LoginInputDataField{
		Type: bridgev2.LoginInputFieldTypeSelect, ID: "network", Name: "network",
		Description: "The IRC network.", DefaultValue: names[0], Options: names,
		Validate: func(text string) (string, error) {
			text = strings.TrimSpace(text)
			if !slices.Contains(names, text) {
				return "", fmt.Errorf("there is no network %q here; there is %s", text, strings.Join(names, ", "))
			}
			return text, nil
		},
	}
}

func optionalNick(text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == noAnswer || text == "" {
		return "", nil
	}
	if cleanNick(text) != text || len(text) > maxNickBytes {
		return "", fmt.Errorf("%q is no nick: it has letters, digits and -[]\\`_^{|} only, and begins with neither a digit nor -", text)
	}
	return text, nil
}

func optionalAccount(text string) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == noAnswer:
		return "", nil
	case len(text) > maxAccount || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return "", errors.New("this is no name of an account: it must be one word")
	}
	return text, nil
}

// validPassword never repeats the password in its errors.
func validPassword(text string) (string, error) {
	switch {
	case text == "" || len(text) > maxPassword:
		return "", fmt.Errorf("the password must have from 1 to %d bytes", maxPassword)
	case strings.ContainsAny(text, "\r\n\x00"):
		return "", errors.New("the password must be one line")
	}
	return text, nil
}

func validMechanism(text string) (string, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	if !slices.Contains([]string{mechAuto, mechSCRAM, mechPlain, mechNickServ}, text) {
		return "", errors.New("it must be one of auto, scram-sha-256, plain and nickserv")
	}
	return text, nil
}

// SubmitUserInput implements bridgev2.LoginProcessUserInput. It stores what was given and, when the user is on the network
// or in one of its rooms, waits for how logging in goes; what the network refuses is not kept.
func (p *loginProcess) SubmitUserInput(ctx context.Context, input map[string]string) (*bridgev2.LoginStep, error) {
	// A web page may send what it likes.
	in := map[string]string{}
	step, err := p.Start(ctx)
	if err != nil {
		return nil, err
	}
	for _, field := range step.UserInputParams.Fields {
		if in[field.ID], err = field.Validate(input[field.ID]); err != nil {
			return nil, fmt.Errorf("%s: %w", field.Name, err)
		}
	}
	n := p.connector.networks[in["network"]]
	switch {
	case in["nick"] != "" && n.cfg.Auth.FixedNicks:
		return nil, fmt.Errorf("on %s nobody can choose their nick; answer -", n.name)
	case p.override != nil && p.override.ID != loginID(n.name, p.user.MXID):
		return nil, fmt.Errorf("the login %s is not for %s", p.override.ID, n.name)
	}
	login, err := p.connector.login(ctx, n, p.user.MXID)
	if err != nil {
		return nil, fmt.Errorf("make a login: %w", err)
	}
	words, err := p.store(ctx, n, login, in)
	if err != nil {
		return nil, err
	}
	if bridges.ByForm(ctx) {
		words = strings.TrimSuffix(words, removePassword)
	}
	return &bridgev2.LoginStep{
		Type: bridgev2.LoginStepTypeComplete, StepID: "causeway.irc.complete", Instructions: words,
		CompleteParams: &bridgev2.LoginCompleteParams{UserLoginID: login.ID, UserLogin: login},
	}, nil
}

// store keeps the new login if the network does not refuse it, and says in words what has come of it.
func (p *loginProcess) store(ctx context.Context, n *network, login *bridgev2.UserLogin, in map[string]string) (string, error) {
	c := p.connector
	before := c.meta(login)
	next, words, err := p.fill(n, login, in)
	if err != nil {
		return "", err
	}
	var stored loginMeta
	err = c.change(ctx, login, func(meta *loginMeta) {
		next(meta)
		stored = *meta
	})
	if err != nil {
		return "", fmt.Errorf("store the login: %w", err)
	}
	switch err := c.apply(ctx, n, login, true); {
	case err == nil:
		return "Stored for " + n.name + "." + words, nil
	case errors.Is(err, errLoginSlow) || p.flow == flowCertificate:
		// A certificate is refused until the network has been told of it.
		return "Stored for " + n.name + "." + words, nil
	case errors.Is(err, errSuperseded): // what is stored now is not ours to take back
		return "", err
	default:
		takeBack := func(meta *loginMeta) {
			if meta.sameSecrets(stored) {
				*meta = before
			}
		}
		if undo := c.change(ctx, login, takeBack); undo != nil {
			return "", fmt.Errorf("take back the login: %w", undo)
		}
		if undo := c.apply(ctx, n, login, false); undo != nil {
			return "", undo
		}
		return "", fmt.Errorf("%w; what was stored before still is", err)
	}
}

// fill returns the change of what is stored, and what to tell of it.
func (p *loginProcess) fill(n *network, login *bridgev2.UserLogin, in map[string]string) (func(*loginMeta), string, error) {
	switch p.flow {
	case flowPassword:
		sealed, err := p.connector.vault.seal(login.ID, "password", in["password"])
		if err != nil {
			return nil, "", err
		}
		return func(meta *loginMeta) {
			*meta = loginMeta{
				Nick: in["nick"], Account: in["username"], Mechanism: in["mechanism"], Password: sealed,
				Certificate: meta.Certificate, SpokeTS: meta.SpokeTS,
			}
		}, removePassword, nil
	case flowCertificate:
		if !n.cfg.TLS {
			return nil, "", fmt.Errorf("connections to %s are not encrypted, so certificates have no use there", n.name)
		}
		text, err := makePair()
		if err != nil {
			return nil, "", err
		}
		pair, err := parsePair(text)
		if err != nil {
			return nil, "", err
		}
		sealed, err := p.connector.vault.seal(login.ID, "certificate", text)
		if err != nil {
			return nil, "", err
		}
		return func(meta *loginMeta) {
			meta.Nick, meta.Account, meta.Certificate = in["nick"], in["username"], sealed
			if meta.Password == "" || meta.Mechanism == "" {
				meta.Mechanism = mechExternal
			} else {
				meta.Mechanism = mechAuto // the certificate first, then the password
			}
		}, fingerprintWords(pair), nil
	}
	return func(meta *loginMeta) { meta.Nick = in["nick"] }, "", nil
}

// removePassword is said to who has given their password in a room.
const removePassword = " Remove your password from this room, if it is still there."

// errLoginSlow tells that the network has not answered yet.
var errLoginSlow = errors.New("the network has not answered yet")

// apply gives what is stored with a login to its client, if there is one, and waits for how logging in goes if wanted.
func (c *Connector) apply(ctx context.Context, n *network, login *bridgev2.UserLogin, wait bool) error {
	client := n.running(login.UserMXID)
	if client == nil {
		return nil
	}
	i, err := c.open(login)
	if err != nil {
		return err
	}
	result := make(chan error, 1)
	if !client.box.add(identityRequest{identity: i, result: result}) || !wait {
		return nil
	}
	timer := time.NewTimer(loginWait)
	defer timer.Stop()
	select {
	case err := <-result:
		return err
	case <-timer.C:
	case <-client.ended:
	case <-ctx.Done():
	}
	return errLoginSlow
}

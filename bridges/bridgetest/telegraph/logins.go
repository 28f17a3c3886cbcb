package telegraph

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
)

// keyLogin is a name and a key and then, for who is called ada, a code.
type keyLogin struct {
	login
	name     string
	override *bridgev2.UserLogin
}

var (
	_ bridgev2.LoginProcessUserInput    = (*keyLogin)(nil)
	_ bridgev2.LoginProcessStepCancel   = (*keyLogin)(nil)
	_ bridgev2.LoginProcessWithOverride = (*keyLogin)(nil)
)

// StartWithOverride implements bridgev2.LoginProcessWithOverride.
func (l *keyLogin) StartWithOverride(ctx context.Context, override *bridgev2.UserLogin) (*bridgev2.LoginStep, error) {
	l.override = override
	return l.Start(ctx)
}

// Start implements bridgev2.LoginProcess.
func (l *keyLogin) Start(context.Context) (*bridgev2.LoginStep, error) {
	l.name = ""
	name := bridgev2.LoginInputDataField{
		Type: bridgev2.LoginInputFieldTypeUsername, ID: "name", Name: "name", Description: "In small letters.",
		Validate: func(text string) (string, error) {
			text = strings.TrimSpace(text)
			if text == "" || strings.ToLower(text) != text {
				return "", errors.New("the name has small letters only")
			}
			return text, nil
		},
	}
	if l.override != nil {
		name.DefaultValue = l.override.RemoteName
	}
	return input("key", "You find the key below the lamp.", name,
		bridgev2.LoginInputDataField{Type: bridgev2.LoginInputFieldTypePassword, ID: "key", Name: "key"},
		bridgev2.LoginInputDataField{Type: bridgev2.LoginInputFieldTypeSelect, ID: "office", Name: "office", DefaultValue: "London",
			Description: "Where your line ends.", Options: []string{"Dover", "London", "Paris"}},
	), nil
}

// SubmitUserInput implements bridgev2.LoginProcessUserInput.
func (l *keyLogin) SubmitUserInput(ctx context.Context, in map[string]string) (*bridgev2.LoginStep, error) {
	switch {
	case l.name != "" && in["code"] == "000000":
		return nil, bridgev2.RespError{ErrCode: "TELEGRAPH_CODE", Err: "The code is not right", StatusCode: 403}
	case l.name != "":
		return l.finish(ctx, l.name)
	case in["key"] != "morse":
		return nil, errors.New("the key does not fit")
	case in["name"] == "ada":
		l.name = in["name"]
		step := input("code", "A messenger brings you a code.", bridgev2.LoginInputDataField{
			Type: bridgev2.LoginInputFieldType2FACode, ID: "code", Name: "code", Description: "Six digits.", Pattern: "^[0-9]{6}$",
		})
		step.UserInputParams.CanCancel = true
		return step, nil
	}
	return l.finish(ctx, in["name"])
}

// CancelStep implements bridgev2.LoginProcessStepCancel.
func (l *keyLogin) CancelStep(ctx context.Context) (*bridgev2.LoginStep, error) { return l.Start(ctx) }

// pairLogin shows something, and waits for it to be entered with scanLogin.
type pairLogin struct {
	login
	code    string
	scanned chan struct{}
}

var (
	_ bridgev2.LoginProcessDisplayAndWait = (*pairLogin)(nil)
	_ bridgev2.LoginProcessStepCancel     = (*pairLogin)(nil)
)

// Start implements bridgev2.LoginProcess.
func (l *pairLogin) Start(context.Context) (*bridgev2.LoginStep, error) {
	return input("kind", "", bridgev2.LoginInputDataField{
		Type: bridgev2.LoginInputFieldTypeSelect, ID: "kind", Name: "what to show", DefaultValue: "qr", Options: []string{"qr", "code", "emoji", "nothing"},
	}), nil
}

// SubmitUserInput implements bridgev2.LoginProcessUserInput.
func (l *pairLogin) SubmitUserInput(_ context.Context, in map[string]string) (*bridgev2.LoginStep, error) {
	l.code = "code-of-" + l.user.MXID.Localpart()
	l.c.mu.Lock()
	if l.c.paired == nil {
		l.c.paired = map[string]chan struct{}{}
	}
	l.scanned = make(chan struct{})
	l.c.paired[l.code] = l.scanned
	l.c.mu.Unlock()
	return l.show(bridgev2.LoginDisplayType(in["kind"])), nil
}

func (l *pairLogin) show(kind bridgev2.LoginDisplayType) *bridgev2.LoginStep {
	data := l.code
	switch kind {
	case bridgev2.LoginDisplayTypeEmoji:
		data = "🐍"
	case bridgev2.LoginDisplayTypeNothing:
		data = ""
	}
	return &bridgev2.LoginStep{
		Type: bridgev2.LoginStepTypeDisplayAndWait, StepID: "telegraph.show", Instructions: "Show this to your other device",
		DisplayAndWaitParams: &bridgev2.LoginDisplayAndWaitParams{Type: kind, Data: data, CanCancel: true},
	}
}

// Wait implements bridgev2.LoginProcessDisplayAndWait.
func (l *pairLogin) Wait(ctx context.Context) (*bridgev2.LoginStep, error) {
	select {
	case <-l.scanned:
		return l.finish(ctx, "paired")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// CancelStep implements bridgev2.LoginProcessStepCancel.
func (l *pairLogin) CancelStep(ctx context.Context) (*bridgev2.LoginStep, error) { return l.Start(ctx) }

// scanLogin is the other device of pairLogin.
type scanLogin struct{ login }

// Start implements bridgev2.LoginProcess.
func (l *scanLogin) Start(context.Context) (*bridgev2.LoginStep, error) {
	return input("scan", "", bridgev2.LoginInputDataField{Type: bridgev2.LoginInputFieldTypeToken, ID: "code", Name: "code"}), nil
}

// SubmitUserInput implements bridgev2.LoginProcessUserInput.
func (l *scanLogin) SubmitUserInput(ctx context.Context, in map[string]string) (*bridgev2.LoginStep, error) {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	scanned, ok := l.c.paired[in["code"]]
	if !ok {
		return nil, errors.New("nobody shows this code")
	}
	delete(l.c.paired, in["code"])
	close(scanned)
	return l.finish(ctx, "scanner")
}

// cookieLogin takes what a browser has.
type cookieLogin struct{ login }

// Start implements bridgev2.LoginProcess.
func (l *cookieLogin) Start(context.Context) (*bridgev2.LoginStep, error) {
	return &bridgev2.LoginStep{
		Type: bridgev2.LoginStepTypeCookies, StepID: "telegraph.cookies",
		CookiesParams: &bridgev2.LoginCookiesParams{URL: "https://telegraph.example/login", Fields: []bridgev2.LoginCookieField{
			{ID: "session", Required: true, Pattern: "^s[0-9]+$", Sources: []bridgev2.LoginCookieFieldSource{
				{Type: bridgev2.LoginCookieTypeCookie, Name: "telegraph_session", CookieDomain: "telegraph.example"},
				{Type: bridgev2.LoginCookieTypeRequestHeader, Name: "X-Session"},
			}},
			{ID: "device", Sources: []bridgev2.LoginCookieFieldSource{{Type: bridgev2.LoginCookieTypeLocalStorage, Name: "device_id"}}},
		}},
	}, nil
}

// SubmitCookies implements bridgev2.LoginProcessCookies.
func (l *cookieLogin) SubmitCookies(ctx context.Context, in map[string]string) (*bridgev2.LoginStep, error) {
	if in["session"] == "s0" {
		return nil, errors.New("the session has expired")
	}
	return l.finish(ctx, "cookie")
}

// allLogin has a field of each kind, and a picture.
type allLogin struct{ login }

// picture is a PNG of one point.
const picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

// Start implements bridgev2.LoginProcess.
func (l *allLogin) Start(context.Context) (*bridgev2.LoginStep, error) {
	var fields []bridgev2.LoginInputDataField
	for _, kind := range []bridgev2.LoginInputFieldType{
		bridgev2.LoginInputFieldTypeUsername, bridgev2.LoginInputFieldTypePassword, bridgev2.LoginInputFieldTypePhoneNumber,
		bridgev2.LoginInputFieldTypeEmail, bridgev2.LoginInputFieldType2FACode, bridgev2.LoginInputFieldTypeToken, bridgev2.LoginInputFieldTypeURL,
		bridgev2.LoginInputFieldTypeDomain, bridgev2.LoginInputFieldTypeCaptchaCode,
	} {
		fields = append(fields, bridgev2.LoginInputDataField{Type: kind, ID: string(kind), Name: strings.ReplaceAll(string(kind), "_", " ")})
	}
	png, err := base64.StdEncoding.DecodeString(picture)
	if err != nil {
		return nil, err
	}
	step := input("all", "Fill in everything", fields...)
	step.UserInputParams.Attachments = []*bridgev2.LoginUserInputAttachment{{
		FileName: "captcha.png", Content: png, Info: bridgev2.LoginUserInputAttachmentInfo{MimeType: "image/png"},
	}}
	return step, nil
}

// SubmitUserInput implements bridgev2.LoginProcessUserInput.
func (l *allLogin) SubmitUserInput(ctx context.Context, in map[string]string) (*bridgev2.LoginStep, error) {
	for kind, text := range in {
		if text == "" {
			return nil, fmt.Errorf("%s is missing", kind)
		}
	}
	return l.finish(ctx, "all")
}

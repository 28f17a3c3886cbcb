package account

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bounds on talking to the service that judges captchas, and on what clients send for it.
const (
	captchaTimeout     = 10 * time.Second
	maxCaptchaAnswer   = 64 << 10
	maxCaptchaResponse = 16 << 10
	maxCaptchasAtOnce  = 16 // further ones are told to come back later
)

// captchas asks a service whether a captcha was solved.
type captchas struct {
	CaptchaConfig
	client *http.Client
	slots  chan struct{}
}

func newCaptchas(c CaptchaConfig) *captchas {
	return &captchas{
		CaptchaConfig: c,
		// A redirect would carry the private key to wherever it leads.
		client: &http.Client{Timeout: captchaTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		slots:  make(chan struct{}, maxCaptchasAtOnce),
	}
}

// captchaStage follows the Client-Server API, Google ReCaptcha.
func (s *Service) captchaStage(ctx context.Context, op operation, _ *uiaSession, auth *AuthData) error {
	if auth.Response == "" {
		return &stageError{"M_CAPTCHA_NEEDED", "Captcha response is required"}
	}
	if len(auth.Response) > maxCaptchaResponse {
		return &stageError{"M_CAPTCHA_INVALID", "The captcha was not solved"}
	}
	solved, err := s.captchas.solved(ctx, auth.Response, op.clientIP)
	if err != nil {
		return fmt.Errorf("ask whether a captcha was solved: %w", err)
	}
	if !solved {
		return &stageError{"M_CAPTCHA_INVALID", "The captcha was not solved"}
	}
	return nil
}

func (c *captchas) solved(ctx context.Context, response, clientIP string) (bool, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		return false, limitExceeded("Too many registrations at once", busyRetry)
	}
	form := url.Values{"secret": {c.PrivateKey}, "response": {response}}
	if clientIP != "" {
		form.Set("remoteip", clientIP)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.VerifyURL, strings.NewReader(form.Encode()))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.client.Do(r)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("the answer's status is %s", resp.Status)
	}
	var answer struct {
		Success bool `json:"success"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxCaptchaAnswer)).Decode(&answer); err != nil {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	return answer.Success, nil
}

package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"causeway/homeserver/store"
)

// gatewayRequest is what the operator's gateway gets by POST. id is the same each time that a message is sent.
type gatewayRequest struct {
	To   string `json:"to"` // "+" and digits, E.164
	Text string `json:"text"`
	ID   string `json:"id"`
}

// maxGatewayAnswer bounds what is read of an answer, whose body counts for nothing.
const maxGatewayAnswer = 64 << 10

func newGateway(o Options) *http.Client {
	return &http.Client{
		Timeout:       o.SMS.Timeout,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}, Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// text sends a text message through the gateway.
func (s *Service) text(ctx context.Context, m store.OutboxMessage, l Letter) error {
	if len(l.Paragraphs) == 0 {
		return fmt.Errorf("%w: the message is empty", errRefused)
	}
	body, err := json.Marshal(gatewayRequest{To: "+" + m.Address, Text: l.Paragraphs[0], ID: strconv.FormatInt(m.NID, 10)})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.SMS.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a request to the gateway: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	if s.SMS.Token != "" {
		r.Header.Set("Authorization", "Bearer "+s.SMS.Token)
	}
	answer, err := s.gateway.Do(r)
	if err != nil {
		return fmt.Errorf("ask the gateway for text messages: %w", errors.Unwrap(err)) // without its URL, which may hold a secret
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxGatewayAnswer)) // so that the connection serves again
	switch {
	case answer.StatusCode/100 == 2:
		return nil
	case answer.StatusCode == http.StatusBadRequest || answer.StatusCode == http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: the gateway for text messages has answered with %d", errRefused, answer.StatusCode)
	}
	return fmt.Errorf("the gateway for text messages has answered with %d", answer.StatusCode)
}

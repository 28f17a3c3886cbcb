package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

const (
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 1 << 20
	// maxWords bounds what is shown of an answer that is no Matrix error, in bytes.
	maxWords = 200
	// someOrigin is where a client may be that runs in a browser: elsewhere.
	someOrigin = "https://client.example"
)

// answer is what came of a request.
type answer struct {
	status int
	header http.Header
	body   []byte
	tls    *tls.ConnectionState
}

// ask makes a request as a page of another origin does, by a session of an account if there is a token.
func (r *run) ask(ctx context.Context, method, address, token string, body any) (*answer, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("write a request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	request.Header.Set("Origin", someOrigin)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	return &answer{response.StatusCode, response.Header, raw, response.TLS}, nil
}

// decode reads an answer of status 200.
func (a *answer) decode(out any) error {
	if a.status != http.StatusOK {
		return a.refusal()
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return errors.New("the answer is not the JSON that it should be")
	}
	return nil
}

// refusal is what an answer says of why.
func (a *answer) refusal() error {
	var said struct {
		Code  string `json:"errcode"`
		Error string `json:"error"`
	}
	if json.Unmarshal(a.body, &said) == nil && said.Code != "" {
		return &refused{a.status, said.Code, said.Error}
	}
	words := strings.TrimSpace(string(a.body[:min(len(a.body), maxWords)]))
	if words == "" || strings.HasPrefix(words, "<") { // a page of a proxy
		words = http.StatusText(a.status)
	}
	return &refused{a.status, "", words}
}

// foreign tells that pages of other origins may not read the answer.
func (a *answer) foreign() bool {
	allowed := a.header.Get("Access-Control-Allow-Origin")
	return allowed != "*" && allowed != someOrigin
}

// refused is an answer that says no.
type refused struct {
	status     int
	code, text string
}

// Error says it in words.
func (r *refused) Error() string {
	if r.code == "" {
		return fmt.Sprintf("it answers %d: %s", r.status, r.text)
	}
	return fmt.Sprintf("it answers %d %s: %s", r.status, r.code, r.text)
}

// statusOf is the status of an answer that says no, 0 for no answer.
func statusOf(err error) int {
	if r, ok := errors.AsType[*refused](err); ok {
		return r.status
	}
	return 0
}

// words are why there is no connection, for people.
func words(err error) string {
	if of, ok := errors.AsType[*url.Error](err); ok {
		err = of.Err // its address may have an access token in it, and what is told here is shown to others
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		return "there is no host " + lookup.Name
	}
	if text := certificateWords(err); text != "" {
		return text
	}
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there, or a firewall refuses"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to it from here"
	case isNet && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "there is no answer: a firewall drops it, or the address is wrong"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the connection is closed without an answer"
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "it does not speak TLS"
	}
	return err.Error()
}

// certificateWords are what is wrong with a certificate, "" for nothing.
func certificateWords(err error) string {
	name, isName := errors.AsType[x509.HostnameError](err)
	_, isAuthority := errors.AsType[x509.UnknownAuthorityError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case isName:
		return "its certificate is for another name than " + name.Host
	case isAuthority:
		return "its certificate is signed by nobody whom clients trust"
	case isInvalid && invalid.Reason == x509.Expired:
		return "its certificate has expired, or is not valid yet"
	case isInvalid:
		return "its certificate is not valid: " + invalid.Error()
	case isRecord:
		return "it does not speak TLS"
	}
	return ""
}

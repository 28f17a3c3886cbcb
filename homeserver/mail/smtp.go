package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"causeway/homeserver/store"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"golang.org/x/net/idna"
)

// smtp sends an email. RFC 5321.
func (s *Service) smtp(ctx context.Context, m store.OutboxMessage, l Letter) error {
	text, err := s.email(m, l)
	if err != nil {
		return err
	}
	to, utf8, err := envelope(m.Address)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	c, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("connect to the SMTP server: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if s.User != "" {
		if err := c.Auth(sasl.NewPlainClient("", s.User, s.Password)); err != nil {
			return fmt.Errorf("log in to the SMTP server: %w", err)
		}
	}
	if has, _ := c.Extension("SMTPUTF8"); utf8 && !has {
		return fmt.Errorf("%w: the SMTP server takes no address that is not ASCII", errRefused)
	}
	if err := c.Mail(s.sender(), &smtp.MailOptions{UTF8: utf8}); err != nil {
		return about("sender", err)
	}
	if err := c.Rcpt(to, nil); err != nil {
		return about("recipient", err)
	}
	w, err := c.Data()
	if err != nil {
		return about("message", err)
	}
	if _, err := bytes.NewReader(text).WriteTo(w); err != nil {
		return fmt.Errorf("send a message: %w", err)
	}
	if err := w.Close(); err != nil {
		return about("message", err)
	}
	_ = c.Quit() // it is sent, whatever the server says to that
	return nil
}

// about says what the server has refused, and whether for good: RFC 5321, 4.2.1. What it says of the recipient does not go into a log.
func about(what string, err error) error {
	var answer *smtp.SMTPError
	if !errors.As(err, &answer) {
		return fmt.Errorf("tell the SMTP server the %s: %w", what, err)
	}
	short := fmt.Errorf("the SMTP server has refused the %s with %d %d.%d.%d", what, answer.Code,
		answer.EnhancedCode[0], answer.EnhancedCode[1], answer.EnhancedCode[2])
	if answer.Code/100 == 5 && what != "sender" { // a sender that is refused is a fault of the configuration, and can be mended
		return fmt.Errorf("%w: %w", errRefused, short)
	}
	return short
}

// dial connects to the SMTP server, by TLS unless that is switched off.
func (s *Service) dial(ctx context.Context) (*smtp.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	host := net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	config := &tls.Config{ServerName: s.Host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12}
	var c *smtp.Client
	switch s.TLS {
	case Implicit:
		encrypted := tls.Client(conn, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		c = smtp.NewClient(encrypted)
	case NoTLS:
		c = smtp.NewClient(conn)
	default:
		if c, err = smtp.NewClientStartTLS(conn, config); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	c.CommandTimeout, c.SubmissionTimeout = s.Timeout, s.Timeout
	name, err := os.Hostname()
	if err != nil || strings.ContainsAny(name, " \r\n") {
		name = "localhost"
	}
	if err := c.Hello(name); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// envelope returns an address as it is said to an SMTP server, with the domain in ASCII (RFC 5891), and whether it takes SMTPUTF8
// (RFC 6531) to say it.
func envelope(address string) (to string, utf8 bool, err error) {
	at := strings.LastIndexByte(address, '@')
	if at < 1 {
		return "", false, errors.New("an address needs an @")
	}
	domain, err := idna.Lookup.ToASCII(address[at+1:])
	if err != nil {
		return "", false, errors.New("the domain of the address is none")
	}
	for i := range at {
		utf8 = utf8 || address[i] >= 0x80
	}
	return address[:at+1] + domain, utf8, nil
}

package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	netmail "net/mail"
	"strings"
	"time"
	"unicode"

	"causeway/homeserver/store"

	"github.com/emersion/go-message/mail"
)

// Letter is what a message says, as plain text. It is bounded by who writes it.
type Letter struct {
	Subject    string   `json:"subject,omitempty"` // of emails
	Paragraphs []string `json:"paragraphs"`        // a text message has one
	Link       string   `json:"link,omitempty"`    // an address to follow, after the first paragraph
	LinkText   string   `json:"link_text,omitempty"`
}

var htmlLetter = template.Must(template.New("letter").Parse(`<!DOCTYPE html>
<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Subject}}</title></head>
<body style="font-family: sans-serif; line-height: 1.5; max-width: 36em; margin: 1em auto; padding: 0 1em; color: #1a1a1a; background: #ffffff">
{{range $i, $p := .Paragraphs}}<p>{{$p}}</p>
{{if and (eq $i 0) $.Link}}<p><a href="{{$.Link}}">{{$.LinkText}}</a></p>
<p style="font-size: small; word-break: break-all">{{$.Link}}</p>
{{end}}{{end}}</body></html>
`))

// plain returns the letter as plain text.
func (l Letter) plain() string {
	var b strings.Builder
	for i, p := range l.Paragraphs {
		b.WriteString(p + "\n\n")
		if i == 0 && l.Link != "" {
			b.WriteString(l.Link + "\n\n")
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// line returns s without what would end a line of a header or show otherwise than it is.
func line(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}

// email writes a message in the form in which it is sent. The address must be canonical: package threepid sees to it that it holds
// nothing that means something in a header.
func (s *Service) email(m store.OutboxMessage, l Letter) ([]byte, error) {
	from, err := netmail.ParseAddress(s.From)
	if err != nil {
		return nil, fmt.Errorf("read mail.from: %w", err)
	}
	if line(m.Address) != m.Address {
		return nil, fmt.Errorf("%w: the address holds more than an address", errRefused)
	}
	var h mail.Header
	h.SetDate(time.UnixMilli(m.CreatedTS))
	h.SetAddressList("From", []*mail.Address{{Name: line(from.Name), Address: from.Address}})
	h.SetAddressList("To", []*mail.Address{{Address: m.Address}})
	h.SetSubject(line(l.Subject))
	h.SetMessageID(s.messageID(m))
	h.Set("Auto-Submitted", "auto-generated") // RFC 3834
	h.Set("X-Auto-Response-Suppress", "All")
	var html bytes.Buffer
	if err := htmlLetter.Execute(&html, l); err != nil {
		return nil, fmt.Errorf("write a message: %w", err)
	}
	var out bytes.Buffer
	w, err := mail.CreateInlineWriter(&out, h)
	if err != nil {
		return nil, fmt.Errorf("write a message: %w", err)
	}
	for _, part := range []struct{ kind, text string }{{"text/plain", l.plain()}, {"text/html", html.String()}} {
		if err := writePart(w, part.kind, part.text); err != nil {
			return nil, fmt.Errorf("write a message: %w", err)
		}
	}
	err = w.Close()
	return out.Bytes(), err
}

func writePart(w *mail.InlineWriter, kind, text string) error {
	var h mail.InlineHeader
	h.SetContentType(kind, map[string]string{"charset": "utf-8"})
	h.Set("Content-Transfer-Encoding", "quoted-printable")
	p, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(p, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		return err
	}
	return p.Close()
}

// messageID is the same each time that a message is sent, so that who gets it twice can tell.
func (s *Service) messageID(m store.OutboxMessage) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%d", s.ServerName, m.NID, m.CreatedTS))
	_, domain, _ := strings.Cut(s.sender(), "@")
	return hex.EncodeToString(sum[:16]) + "@" + domain
}

// sender is the address that mail is sent from.
func (s *Service) sender() string {
	from, err := netmail.ParseAddress(s.From)
	if err != nil {
		return s.From
	}
	return from.Address
}

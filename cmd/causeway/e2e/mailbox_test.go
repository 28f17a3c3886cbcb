package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-smtp"
)

// letter is a mail as its reader sees it.
type letter struct {
	To      string `json:"to"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
}

// mailbox is an SMTP server that keeps what it gets, and a site that shows it to scripts:
//
//	GET /mail?to=ADDRESS     the next letter to the address, once there is one
//	GET /captcha.js          what shows a captcha: a button
//	POST /siteverify         whether that was pressed
type mailbox struct {
	port    int
	site    string // URL
	letters *journal[letter]
	read    map[string]int // how far the letters to an address were read; of one script at a time
}

const captchaScript = `addEventListener("load", () => {
	for (const box of document.querySelectorAll(".g-recaptcha")) {
		const answer = Object.assign(document.createElement("input"), {type: "hidden", name: "g-recaptcha-response"});
		const button = Object.assign(document.createElement("button"), {type: "button", textContent: "I am no robot"});
		button.onclick = () => { answer.value = "solved by " + box.dataset.sitekey; button.textContent = "Solved"; };
		box.append(answer, button);
	}
});`

// startMailbox starts a mailbox, which ends with the test.
func startMailbox(t *testing.T) *mailbox {
	t.Helper()
	box := &mailbox{letters: newJournal[letter](), read: map[string]int{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box.port = listener.Addr().(*net.TCPAddr).Port
	server := smtp.NewServer(box)
	server.Domain, server.EnableSMTPUTF8, server.ErrorLog = "localhost", true, log.New(io.Discard, "", 0)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mail", box.show)
	mux.HandleFunc("GET /captcha.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(w, captchaScript)
	})
	mux.HandleFunc("POST /siteverify", func(w http.ResponseWriter, r *http.Request) {
		solved := r.PostFormValue("response") == "solved by public" && r.PostFormValue("secret") == "private"
		_ = json.NewEncoder(w).Encode(map[string]bool{"success": solved})
	})
	site := httptest.NewServer(mux)
	box.site = site.URL
	t.Cleanup(func() {
		site.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Error(err)
		}
	})
	return box
}

// yaml is the configuration by which a homeserver sends its mail here.
func (b *mailbox) yaml() string {
	return fmt.Sprintf("mail:\n  host: 127.0.0.1\n  port: %d\n  tls: none\n  from: Causeway <matrix@causeway.test>\n", b.port)
}

// captcha is the configuration by which this is the service for captchas, below registration.
func (b *mailbox) captcha() string {
	return fmt.Sprintf("  captcha: {public_key: public, private_key: private, verify_url: %q, script_url: %q}\n", b.site+"/siteverify", b.site+"/captcha.js")
}

func (b *mailbox) show(w http.ResponseWriter, r *http.Request) {
	to := r.URL.Query().Get("to")
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) && r.Context().Err() == nil {
		all, more := b.letters.from(b.read[to])
		for _, l := range all {
			b.read[to]++
			if l.To == to {
				_ = json.NewEncoder(w).Encode(l)
				return
			}
		}
		select {
		case <-more:
		case <-time.After(time.Until(deadline)):
		case <-r.Context().Done():
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

// NewSession implements smtp.Backend.
func (b *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &delivery{box: b}, nil }

// delivery is an SMTP session.
type delivery struct {
	box *mailbox
	to  string
}

func (d *delivery) Reset()                               {}
func (d *delivery) Logout() error                        { return nil }
func (d *delivery) Mail(string, *smtp.MailOptions) error { return nil }

func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = to
	return nil
}

func (d *delivery) Data(r io.Reader) error {
	m, err := mail.CreateReader(r)
	if err != nil {
		return err
	}
	l := letter{To: d.to}
	if l.Subject, err = m.Header.Subject(); err != nil {
		return err
	}
	for {
		part, err := m.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if body, err := io.ReadAll(part.Body); err != nil {
			return err
		} else if strings.HasPrefix(part.Header.Get("Content-Type"), "text/plain") {
			l.Text = string(body)
		}
	}
	d.box.letters.add(l)
	return nil
}

package registration

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// tokenBytes is the entropy of a generated token.
const tokenBytes = 32

// Generate returns a registration with fresh random tokens. name becomes its id,
// and in small letters with "_" before and "_bot" behind it the localpart of its
// sender; the user namespaces are exclusive. url may be "" for no traffic.
func Generate(name, url string, userRegex ...string) *Registration {
	r := &Registration{
		ID: name, URL: url, ASToken: newToken(), HSToken: newToken(),
		SenderLocalpart: "_" + localpartOf(name) + "_bot",
	}
	for _, expression := range userRegex {
		r.Namespaces.Users = append(r.Namespaces.Users, Namespace{Regex: expression, Exclusive: true})
	}
	return r.compiled()
}

func newToken() string {
	token := make([]byte, tokenBytes)
	_, _ = rand.Read(token) // never returns an error
	return hex.EncodeToString(token)
}

// localpartOf maps a name to what the grammar of localparts allows.
func localpartOf(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._=-/+", r) {
			return r
		}
		return '_'
	}, strings.ToLower(name))
}

// Marshal returns the registration as the text of a file, with comments that
// say what each field is for. [Parse] reads it back.
func (r *Registration) Marshal() []byte {
	var out bytes.Buffer
	line := func(comment, format string, args ...any) {
		for text := range strings.SplitSeq(comment, "\n") {
			fmt.Fprintf(&out, "# %s\n", text)
		}
		fmt.Fprintf(&out, format+"\n", args...)
	}
	out.WriteString("# Registration of an application service. It holds secrets: keep it readable\n" +
		"# by the homeserver and the application service only.\n\n")
	line("The name of the application service. It must never change.", "id: %s", quote(r.ID))
	url := "null"
	if r.URL != "" {
		url = quote(r.URL)
	}
	line("Where the homeserver reaches it: http://, https:// or unix:///path; null for no traffic.", "url: %s", url)
	line("Proves the application service to the homeserver.", "as_token: %s", quote(r.ASToken))
	line("Proves the homeserver to the application service.", "hs_token: %s", quote(r.HSToken))
	line("The user that the application service itself is: what stands between @ and : in its id.",
		"sender_localpart: %s", quote(r.SenderLocalpart))
	line("The ids that it cares for, as regular expressions that match from the start of an id.\n"+
		"Nobody else may make what lies in an exclusive namespace.", "namespaces:")
	writeNamespaces(&out, "users", r.Namespaces.Users)
	writeNamespaces(&out, "aliases", r.Namespaces.Aliases)
	writeNamespaces(&out, "rooms", r.Namespaces.Rooms)
	line("Whether requests in the names of its users are rate-limited.", "rate_limited: %t", r.RateLimited)
	line("Whether it is sent typing notices, receipts and presence.",
		"receive_ephemeral: %t\nde.sorunome.msc2409.push_ephemeral: %[1]t", r.ReceiveEphemeral)
	line("Whether it is sent what end-to-end encryption needs.", "org.matrix.msc3202: %t", r.MSC3202)
	line("Whether it makes devices without logging in (MSC4190), as bridges made with mautrix-go do. It then\n"+
		"cannot log its users in: false for those made with matrix-bot-sdk, such as Hookshot.", "io.element.msc4190: %t", r.MSC4190)
	protocols := make([]string, len(r.Protocols))
	for i, protocol := range r.Protocols {
		protocols[i] = quote(protocol)
	}
	line("The third-party networks that it can be asked about.", "protocols: [%s]", strings.Join(protocols, ", "))
	return out.Bytes()
}

func writeNamespaces(out *bytes.Buffer, kind string, namespaces []Namespace) {
	if len(namespaces) == 0 {
		fmt.Fprintf(out, "  %s: []\n", kind)
		return
	}
	fmt.Fprintf(out, "  %s:\n", kind)
	for _, n := range namespaces {
		fmt.Fprintf(out, "    - exclusive: %t\n      regex: %s\n", n.Exclusive, quote(n.Regex))
	}
}

// quote returns text as a YAML scalar: in single quotes, which leave the
// backslashes of expressions alone, where that can be, and else as JSON, which is
// YAML too.
func quote(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	quoted, _ := json.Marshal(text) // a string never fails
	return string(quoted)
}

// WriteFile writes the registration to a new file that only its owner can read.
// The error is fs.ErrExist when the file is there: to replace tokens that are in
// use would cut the application service off.
func (r *Registration) WriteFile(name string) error {
	// CreateTemp makes files of mode 0600.
	temporary, err := os.CreateTemp(filepath.Dir(name), ".registration-*")
	if err != nil {
		return fmt.Errorf("write registration: %w", err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(r.Marshal())
	if err == nil {
		err = temporary.Sync()
	}
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		// Unlike a rename, this does not replace a file.
		err = os.Link(temporary.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write registration: %w", err)
	}
	return nil
}

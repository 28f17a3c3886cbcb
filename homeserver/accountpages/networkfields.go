package accountpages

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"causeway/homeserver/networks"

	"github.com/skip2/go-qrcode"
)

// stepField is a field of the form of a step.
type stepField struct {
	ID      string // in the form
	key     string // what the network calls it
	Kind    string // text, select or cookie
	Label   string
	Hint    string
	Value   string
	Options []string
	Type    string // of the input
	Mode    string // inputmode, "" for the one of the type
	Fill    string // autocomplete
	Needed  bool
}

// inputTypes are the HTML types of bridgev2's types of fields, what they are filled in with by a browser, and whether they are secret.
var inputTypes = map[string]struct {
	htmlType, mode, fill string
	secret               bool
}{
	"username":     {"text", "", "off", false},
	"password":     {"password", "", "off", true},
	"phone_number": {"tel", "", "tel", false},
	"email":        {"email", "", "email", false},
	"2fa_code":     {"text", "numeric", "one-time-code", true},
	"token":        {"password", "", "off", true},
	"url":          {"url", "", "off", false},
	"domain":       {"text", "url", "off", false},
	"captcha_code": {"text", "", "off", true},
}

// fieldsOf makes the fields of a step, with what was entered before. Secrets are entered anew.
func fieldsOf(step networks.Step, kept url.Values) []stepField {
	var all []stepField
	if step.Input != nil {
		for i, f := range step.Input.Fields {
			all = append(all, inputField(fmt.Sprint("f", i), f, kept))
		}
	}
	if step.Cookies != nil {
		for i, f := range step.Cookies.Fields {
			all = append(all, stepField{
				ID: fmt.Sprint("f", i), key: f.ID, Kind: "cookie", Label: cookieLabel(f), Hint: cookieHint(f), Type: "password", Fill: "off", Needed: f.Required,
			})
		}
	}
	return all
}

func inputField(id string, f networks.Field, kept url.Values) stepField {
	kind, known := inputTypes[f.Type]
	if !known {
		kind.htmlType, kind.fill = "text", "off"
	}
	field := stepField{
		ID: id, key: f.ID, Kind: "text", Label: capital(f.Name), Hint: f.Description, Value: f.Default, Options: f.Options,
		Type: kind.htmlType, Mode: kind.mode, Fill: kind.fill, Needed: kind.secret,
	}
	if f.Type == "select" {
		field.Kind = "select"
	}
	if field.Label == "" {
		field.Label = f.ID
	}
	if kept.Has(id) {
		field.Value = kept.Get(id)
	}
	if kind.secret {
		field.Value = ""
	}
	return field
}

// cookieLabel is the name of something that a user finds in their browser.
func cookieLabel(f networks.CookieField) string {
	if len(f.Sources) > 0 && f.Sources[0].Name != "" {
		return f.Sources[0].Name
	}
	return f.ID
}

// cookiePlaces are the words for where something is found.
var cookiePlaces = map[string]string{
	"cookie": "the cookie %s", "local_storage": "the entry %s of the local storage", "request_header": "the header %s of requests",
	"request_body": "the field %s of what requests send",
}

// cookieHint says where something is found.
func cookieHint(f networks.CookieField) string {
	var places []string
	for _, source := range f.Sources {
		words, known := cookiePlaces[source.Type]
		if !known {
			words = "%s"
		}
		place := fmt.Sprintf(words, source.Name)
		if source.Domain != "" {
			place += " of " + source.Domain
		}
		places = append(places, place)
	}
	hint := capital(strings.Join(places, ", or "))
	if !f.Required {
		hint += " (not always there)"
	}
	return strings.TrimSpace(hint)
}

// capital begins a text with a capital letter.
func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if first == utf8.RuneError {
		return text
	}
	return string(unicode.ToUpper(first)) + text[size:]
}

// shownImages are the types of pictures that a page shows.
var shownImages = map[string]bool{"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true}

// attachment is a picture, or a text, beside what is to be entered.
type attachment struct {
	Name  string
	Image template.URL // "" for none
}

// Attachments are what is shown beside the fields.
func (s stepPage) Attachments() []attachment {
	if s.Step.Input == nil {
		return nil
	}
	var all []attachment
	for _, a := range s.Step.Input.Attachments {
		if shownImages[a.Info.MimeType] {
			all = append(all, attachment{a.FileName, template.URL("data:" + a.Info.MimeType + ";base64," + base64.StdEncoding.EncodeToString(a.Content))})
		}
	}
	return all
}

// qrImage is a text as a QR code, drawn in the page, so that nobody else sees it. "" is for a text that is too long.
func qrImage(text string) template.HTML {
	code, err := qrcode.New(text, qrcode.Low)
	if err != nil {
		return ""
	}
	bits := code.Bitmap()
	var path strings.Builder
	for y, row := range bits {
		for x, dark := range row {
			if dark {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x, y)
			}
		}
	}
	return template.HTML(fmt.Sprintf(`<svg class="qr" role="img" aria-label="QR code" viewBox="0 0 %d %d" shape-rendering="crispEdges">`+
		`<rect width="100%%" height="100%%" fill="#fff"/><path fill="#000" d="%s"/></svg>`, len(bits), len(bits), path.String()))
}

package identityapi

import (
	"encoding/json"
	"mime"
	"net/url"

	"causeway/homeserver/httpapi"
)

// decode reads a body, which may be a form: "for backwards compatibility with previous drafts of this specification, the parameters may
// also be specified as application/x-www-form-urlencoded data".
func decode(r *httpapi.Request, in any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || r.Method != "POST" {
		return r.Decode(in)
	}
	body, err := r.ReadBody()
	if err != nil {
		return err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return httpapi.NotJSON("The body is neither JSON nor a form")
	}
	fields := make(map[string]any)
	for name := range form {
		fields[name] = form.Get(name)
	}
	if attempt := form.Get("send_attempt"); attempt != "" {
		fields["send_attempt"] = json.Number(attempt)
	}
	raw, err := json.Marshal(fields)
	if err != nil || json.Unmarshal(raw, in) != nil {
		return httpapi.BadJSON("The form does not have what it should")
	}
	return nil
}

package accountpages_test

import (
	"encoding/json"
	"net/http"

	"causeway/homeserver/account"
)

// captcha is a service that takes one answer.
type captcha struct{}

func (captcha) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]bool{"success": r.PostFormValue("response") == "right" && r.PostFormValue("secret") == "private"})
}

// terms are a document to accept.
func terms() map[string]account.Policy {
	return map[string]account.Policy{"privacy": {Version: "1", Languages: map[string]account.Document{"en": {Name: "Privacy", URL: "https://example.org/privacy"}}}}
}

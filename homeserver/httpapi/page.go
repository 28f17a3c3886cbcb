package httpapi

import (
	"net/http"
	"strings"
)

// SetPageHeaders says what a browser may do with a page for people: what contentPolicy, a
// Content-Security-Policy, lets it, and tell other sites what referrerPolicy, a
// Referrer-Policy, lets it. It is not framed, guessed at, or kept.
func SetPageHeaders(h http.Header, contentPolicy, referrerPolicy string) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", referrerPolicy)
	h.Set("Cache-Control", "no-store")
}

// Sentence is an error as a page shows it to people.
func Sentence(text string) string {
	if text == "" || strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + "."
}

package probe

import (
	"errors"
	"fmt"
	"net/url"
	"testing"
)

// TestWordsHaveNoToken has requests fail whose address has an access token in it.
func TestWordsHaveNoToken(t *testing.T) {
	why := &url.Error{Op: "Get", URL: "https://a.example/rtc/v1?access_token=secret", Err: errors.New("malformed HTTP response")}
	for _, err := range []error{why, fmt.Errorf("failed to WebSocket dial: %w", why)} {
		if got := words(err); got != "malformed HTTP response" {
			t.Errorf("got %q", got)
		}
	}
}

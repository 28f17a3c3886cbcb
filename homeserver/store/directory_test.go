package store

import "testing"

// TestLikePattern makes patterns that find text in JSON in lower case.
func TestLikePattern(t *testing.T) {
	for text, want := range map[string]string{
		"": "%%", "abc": "%abc%", "AbC": "%abc%", "50%_off!": "%50!%!_off!!%", `say "a\b"`: `%say \"a\\b\"%`,
		"größe": "%gr%%e%", "a\nb": "%a%b%", "🌉": "%%%",
	} {
		if got := likePattern(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

package retention_test

import (
	"testing"
	"time"

	"causeway/homeserver/retention"
)

func TestPolicy(t *testing.T) {
	const hour = int64(time.Hour / time.Millisecond)
	limits := retention.Policy{Enabled: true, Default: 5 * time.Hour, Min: 2 * time.Hour, Max: 10 * time.Hour}
	tests := []struct {
		name    string
		policy  retention.Policy
		content string
		want    int64
	}{
		{"off", retention.Policy{Default: time.Hour}, `{"max_lifetime":3600000}`, 0},
		{"no event, no default", retention.Policy{Enabled: true}, ``, 0},
		{"no event", limits, ``, 5 * hour},
		{"no event, default beyond the limits", retention.Policy{Enabled: true, Default: 20 * time.Hour, Max: time.Hour}, ``, 20 * hour},
		{"room", limits, `{"max_lifetime":14400000}`, 4 * hour},
		{"room without limits", retention.Policy{Enabled: true}, `{"max_lifetime":1}`, 1},
		{"too short", limits, `{"max_lifetime":1}`, 2 * hour},
		{"too long", limits, `{"max_lifetime":9007199254740991}`, 10 * hour},
		{"with a minimum", limits, `{"max_lifetime":14400000,"min_lifetime":1000}`, 4 * hour},
		{"only a minimum", limits, `{"min_lifetime":1000}`, 5 * hour},
		{"minimum beyond the maximum", limits, `{"max_lifetime":14400000,"min_lifetime":14400001}`, 5 * hour},
		{"minimum that is none", limits, `{"max_lifetime":14400000,"min_lifetime":"1"}`, 5 * hour},
		{"negative minimum", limits, `{"max_lifetime":14400000,"min_lifetime":-1}`, 5 * hour},
		{"zero", limits, `{"max_lifetime":0}`, 5 * hour},
		{"negative", limits, `{"max_lifetime":-1}`, 5 * hour},
		{"fraction", limits, `{"max_lifetime":1.5}`, 5 * hour},
		{"beyond all integers", limits, `{"max_lifetime":1e300}`, 5 * hour},
		{"text", limits, `{"max_lifetime":"14400000"}`, 5 * hour},
		{"null", limits, `{"max_lifetime":null}`, 5 * hour},
		{"no object", limits, `[]`, 5 * hour},
		{"no JSON", limits, `{`, 5 * hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.policy.MaxLifetime([]byte(test.content)); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func FuzzMaxLifetime(f *testing.F) {
	for _, seed := range []string{`{"max_lifetime":14400000,"min_lifetime":1000}`, `{"max_lifetime":1e300}`, `{}`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		lifetime, ok := retention.MaxLifetime(content)
		if ok && lifetime < 1 || !ok && lifetime != 0 {
			t.Errorf("%d, %v", lifetime, ok)
		}
	})
}

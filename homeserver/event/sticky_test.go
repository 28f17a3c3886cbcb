package event

import (
	"strings"
	"testing"
)

// A sticky event is one that other servers can check, whose redaction is that of the same event, and is not sticky.
func TestBuildSticky(t *testing.T) {
	for _, version := range Versions() {
		t.Run(version.ID, func(t *testing.T) {
			b := messageBuilder()
			b.RoomID, b.StickyMS = testRoomOf(version), 60_000
			if version.ReferencePairs {
				b.PrevEvents, b.AuthEvents = nil, nil
			}
			built, err := b.Build(version, testKey(t))
			if err != nil {
				t.Fatal(err)
			}
			checkBuilt(t, b, built, testKey(t))
			parsed, err := Parse(version, built.JSON())
			if err != nil {
				t.Fatal(err)
			}
			if parsed.StickyMS != 60_000 || parsed.EventID != built.EventID {
				t.Errorf("parsed: sticky for %d ms, %s, want 60000 and %s", parsed.StickyMS, parsed.EventID, built.EventID)
			}
			redacted, err := parsed.Redact()
			if err != nil {
				t.Fatal(err)
			}
			if redacted.StickyMS != 0 || strings.Contains(string(redacted.JSON()), "sticky") {
				t.Errorf("redacted: %s", redacted.JSON())
			}
			if shown := string(parsed.AppendClient(nil, ClientForm{})); !strings.Contains(shown, `,"msc4354_sticky":{"duration_ms":60000},`) {
				t.Errorf("shown: %s", shown)
			}
		})
	}
}

func TestStickyDuration(t *testing.T) {
	for value, want := range map[string]int64{
		`{"duration_ms":1}`: 1, `{"duration_ms":3600000}`: 3_600_000, `{"duration_ms":3600001}`: 3_600_000, `{"duration_ms":0}`: 0,
		`{"duration_ms":-1}`: 0, `{"duration_ms":"1"}`: 0, `{"duration_ms":null}`: 0, `{}`: 0, `7`: 0, `[]`: 0, `null`: 0,
	} {
		if got := stickyDuration([]byte(value)); got != want {
			t.Errorf("%s: got %d, want %d", value, got, want)
		}
	}
	p := &PDU{OriginServerTS: 1000, StickyMS: 500}
	for receivedTS, want := range map[int64]int64{900: 1400, 1000: 1500, 5000: 1500} {
		if got := p.StickyUntil(receivedTS); got != want {
			t.Errorf("received at %d: until %d, want %d", receivedTS, got, want)
		}
	}
}

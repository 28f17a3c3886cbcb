package main

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestSFUMetrics reads the metrics of a server in whose call somebody is.
func TestSFUMetrics(t *testing.T) {
	at := freeMedia(t)
	s := startCallServer(t, mediaAt(t), func(c *Config) { c.Metrics.Listen = at })
	alice := s.register("alice")
	room := s.ok("POST", client+"/createRoom", alice, `{}`)["room_id"].(string)
	s.join(s.callToken(alice, room))
	if p, _ := s.dial("nonsense"); p != nil {
		t.Fatal("somebody came in without a token")
	}
	answer, err := http.Get("http://" + at + metricsPath)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, line := range []string{
		"# TYPE causeway_sfu_rooms gauge", "causeway_sfu_rooms 1", "causeway_sfu_participants 1", "# TYPE causeway_sfu_joins counter",
		"causeway_sfu_joins_total 1", `causeway_sfu_refused_total{reason="token"} 1`, `causeway_sfu_connections{quality="lost"} 1`,
		`causeway_sfu_published_tracks{kind="audio"} 0`, `causeway_sfu_received_packets_total{kind="video"} 0`, "causeway_sfu_socket_batches_total 0",
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no line %s", line)
		}
	}
	good := regexp.MustCompile(`^(# HELP [a-z_]+ [A-Z].*\.|# TYPE [a-z_]+ (gauge|counter)|[a-z_]+(\{[a-z]+="[a-z_]+"\})? [0-9]+)$`)
	for line := range strings.Lines(text) {
		if strings.Contains(line, "causeway_sfu_") && !good.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("no line of metrics: %s", line)
		}
	}
}

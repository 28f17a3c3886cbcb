package main

import (
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestUnbridgeCommand(t *testing.T) {
	cfg, config := installed(t)
	unbridge := func(code int, want string, args ...string) {
		t.Helper()
		got, stdout, stderr := runIn(t, "", append([]string{"--config", config, "bridge", "unbridge"}, args...)...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%q: got %d, %s%s; want %d and %q", args, got, stdout, stderr, code, want)
		}
	}
	unbridge(exitUsage, "is an alias", "#irc_net_#c:localhost")
	unbridge(exitUsage, "accepts 1 arg")
	unbridge(exitFailure, "no server runs here", "!room")
	stop := serving(t, cfg)
	unbridge(exitFailure, "has no bridges of its own", "!room")
	stop()
}

// A bridge is found by its ID, and need not be named when it is the only one.
func TestBridgeSet(t *testing.T) {
	cfg, _ := installed(t)
	cfg.Bridges.IRC.Networks = nil
	set, err := openBridges(cfg, zerolog.Nop(), nil)
	if err != nil || set.find("irc") != nil || set.status("irc") != nil {
		t.Errorf("without networks there are %d bridges, %v", len(set), err)
	}
	if err := set.unbridge(t.Context(), bridgeOrder{RoomID: "!room"}); err == nil {
		t.Error("no bridge leaves a room")
	}
}

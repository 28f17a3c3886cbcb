package main

import (
	"strings"
	"testing"

	"causeway/bridges/irc"

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

// Who administers the IRC bridge is in the configuration, as with other networks.
func TestIRCPermissions(t *testing.T) {
	cfg, _ := installed(t)
	var network irc.NetworkConfig
	network.Address = "127.0.0.1:6667"
	cfg.Bridges.IRC.Networks = map[string]irc.NetworkConfig{"net": network}
	plans, err := planBridges(cfg, zerolog.Nop())
	if err != nil || len(plans) != 1 || plans[0].opts.Permissions != nil {
		t.Fatalf("without permissions: got %d plans, %v", len(plans), err)
	}
	cfg.Bridges.IRC.Permissions = Permissions{"localhost": "user", "@alice:localhost": "admin"}
	plans, err = planBridges(cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	permissions := plans[0].opts.Permissions
	if !permissions.Get("@alice:localhost").Admin || permissions.Get("@bob:localhost").Admin || !permissions.Get("@bob:localhost").Login {
		t.Errorf("got %v", permissions)
	}
}

// An isolated bridge whose process does not run is told apart from one that there is not.
func TestUnbridgeIsolated(t *testing.T) {
	cfg, _ := installed(t)
	var network irc.NetworkConfig
	network.Address = "127.0.0.1:6667"
	cfg.Bridges.IRC.Networks = map[string]irc.NetworkConfig{"net": network}
	cfg.Bridges.IRC.Isolation = isolationProcess
	set, err := openBridges(cfg, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer set.close(zerolog.Nop())
	if got := set.states(t.Context())["irc"]; got.status != nil || got.fault != "its process does not run" {
		t.Errorf("its state is %+v", got)
	}
	if err := set.unbridge(t.Context(), bridgeOrder{RoomID: "!room"}); err == nil || !strings.Contains(err.Error(), "the bridge irc cannot be told: its process does not run") {
		t.Errorf("got %v", err)
	}
	if err := set.unbridge(t.Context(), bridgeOrder{RoomID: "!room", Bridge: "parrot"}); err == nil || !strings.Contains(err.Error(), `no bridge "parrot"`) {
		t.Errorf("got %v", err)
	}
}

// A bridge is found by its ID, and need not be named when it is the only one.
func TestBridgeSet(t *testing.T) {
	cfg, _ := installed(t)
	cfg.Bridges.IRC.Networks = nil
	set, err := openBridges(cfg, zerolog.Nop(), nil)
	if err != nil || len(set.states(t.Context())) != 0 {
		t.Errorf("without networks there are %d bridges, %v", len(set), err)
	}
	if err := set.unbridge(t.Context(), bridgeOrder{RoomID: "!room"}); err == nil {
		t.Error("no bridge leaves a room")
	}
}

package main

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"causeway/bridges"
	"causeway/bridges/irc"
	"causeway/bridges/process"
	hsnetworks "causeway/homeserver/networks"
	"causeway/homeserver/sqldb"

	"github.com/rs/zerolog"
	"gopkg.in/yaml.v3"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
)

// BridgesConfig holds a section for each network that Causeway bridges to itself.
type BridgesConfig struct {
	IRC IRCConfig `yaml:"irc"`
	// Others are the networks that `causeway build` has put into this binary, by their IDs.
	Others map[string]*NetworkConfig `yaml:",others"`
	// Encryption is of the rooms of all of them.
	Encryption bridges.Encryption `yaml:"encryption"`
	// Reaper is of the rooms of all of them.
	Reaper bridges.Reaper `yaml:"reaper"`
	// Backfill is of the rooms of all of them.
	Backfill bridges.Backfill `yaml:"backfill"`
	// PolicyRooms say who is let in to none of them.
	PolicyRooms bridges.PolicyRooms `yaml:"policy_rooms"`
	// MediaLinks are of files in the rooms of all of them.
	MediaLinks bridges.MediaLinks `yaml:"media_links"`
}

// IRCConfig is the section of IRC.
type IRCConfig struct {
	Isolation Isolation `yaml:"isolation"`
	// Permissions are as with other networks.
	Permissions Permissions `yaml:"permissions"`
	irc.Config  `yaml:",inline"`
}

// Isolation says where a bridge runs.
type Isolation string

// Values of Isolation.
const (
	isolationNone    Isolation = "none"    // in the server's process
	isolationProcess Isolation = "process" // in one of its own, which is started again when it ends
)

// NetworkConfig is the section of a network that `causeway build` has put into this binary.
type NetworkConfig struct {
	Enabled   bool      `yaml:"enabled"`
	Isolation Isolation `yaml:"isolation"`
	// Permissions are levels by user, server name, or * for everybody. Without any, the users of this server may log in.
	Permissions Permissions `yaml:"permissions"`
	// Network is what the network's connector reads.
	Network yaml.Node `yaml:"network"`
}

// defaultBridges are the sections of all networks of this binary.
func defaultBridges() BridgesConfig {
	c := BridgesConfig{IRC: IRCConfig{Isolation: isolationNone, Permissions: Permissions{}}, Others: make(map[string]*NetworkConfig),
		Reaper: bridges.DefaultReaper(), Backfill: bridges.DefaultBackfill(), PolicyRooms: bridges.PolicyRooms{}}
	for _, n := range networks {
		c.Others[n.ID] = &NetworkConfig{Isolation: isolationNone}
	}
	return c
}

// Permissions are levels by user, server name, or * for everybody.
type Permissions map[string]string

// permissionLevels are the levels of bridgev2.
var permissionLevels = map[string]bridgeconfig.Permissions{
	"block": bridgeconfig.PermissionLevelBlock, "relay": bridgeconfig.PermissionLevelRelay,
	"commands": bridgeconfig.PermissionLevelCommands, "user": bridgeconfig.PermissionLevelUser,
	"admin": bridgeconfig.PermissionLevelAdmin,
}

// check reports what is wrong with the bridges' sections. Those of networks that are not enabled may be unfinished.
func (c BridgesConfig) check(bad report) {
	checkSection("bridges.irc", c.IRC, bad)
	checkIsolation("bridges.irc", c.IRC.Isolation, bad)
	c.IRC.Permissions.check("bridges.irc", bad)
	checkSection("bridges.encryption", c.Encryption, bad)
	checkSection("bridges.reaper", c.Reaper, bad)
	checkSection("bridges.backfill", c.Backfill, bad)
	checkSection("bridges.policy_rooms", c.PolicyRooms, bad)
	checkSection("bridges.media_links", c.MediaLinks, bad)
	for _, n := range networks {
		key, section := "bridges."+n.ID, c.Others[n.ID]
		checkIsolation(key, section.Isolation, bad)
		section.Permissions.check(key, bad)
		if !section.Enabled {
			continue
		}
		_, err := n.Connect(section.node())
		faults, ok := err.(bridges.ConfigFaults)
		switch {
		case ok:
			for _, fault := range faults {
				bad(strings.TrimSuffix(key+".network."+fault.Key, "."), "%s", fault.Text)
			}
		case err != nil:
			bad(key+".network", "%v", err)
		}
	}
}

func checkIsolation(key string, isolation Isolation, bad report) {
	if isolation != isolationNone && isolation != isolationProcess {
		bad(key+".isolation", "%q is neither %s nor %s", isolation, isolationNone, isolationProcess)
	}
}

// node is the connector's own section, nil when there is none.
func (c *NetworkConfig) node() *yaml.Node {
	if c.Network.Kind == 0 {
		return nil
	}
	return &c.Network
}

// check reports what is wrong with the permissions of a network.
func (p Permissions) check(key string, bad report) {
	for who, level := range p {
		if _, ok := permissionLevels[level]; !ok {
			bad(key+".permissions."+who, "%q is not one of %s", level, strings.Join(slices.Sorted(maps.Keys(permissionLevels)), ", "))
		}
	}
}

// config is the permissions as bridgev2 takes them, nil when there are none.
func (p Permissions) config() bridgeconfig.PermissionConfig {
	if len(p) == 0 {
		return nil
	}
	all := make(bridgeconfig.PermissionConfig)
	for who, level := range p {
		known := permissionLevels[level]
		all[who] = &known
	}
	return all
}

// bridgePlan is a bridge that the configuration asks for.
type bridgePlan struct {
	opts     bridges.Options // without a way to the homeserver
	isolated bool
}

// planBridges lists the bridges that the configuration asks for.
func planBridges(cfg *Config, log zerolog.Logger) ([]bridgePlan, error) {
	var plans []bridgePlan
	plan := func(opts bridges.Options, isolation Isolation) {
		opts.ServerName, opts.HomeserverURL, opts.DataDir = cfg.ServerName, cfg.BaseURL(), bridgesDir(cfg)
		opts.URL, opts.Log = "http://"+opts.ID+".bridge", bridgeLog(cfg, log, opts.ID)
		opts.Encryption, opts.Reaper, opts.Backfill = cfg.Bridges.Encryption, cfg.Bridges.Reaper, cfg.Bridges.Backfill
		opts.PolicyRooms, opts.MediaLinks = cfg.Bridges.PolicyRooms, cfg.Bridges.MediaLinks
		if sqldb.IsPostgres(cfg.Database) {
			opts.Database = cfg.Database
		}
		plans = append(plans, bridgePlan{opts, isolation == isolationProcess})
	}
	if len(cfg.Bridges.IRC.Networks) > 0 {
		network, err := irc.New(cfg.Bridges.IRC.Config)
		if err != nil {
			return nil, fmt.Errorf("bridges.irc: %w", err)
		}
		network.SetHolder(ircHolder)
		plan(bridges.Options{ID: "irc", Name: "IRC bridge", Network: network, Permissions: cfg.Bridges.IRC.Permissions.config()}, cfg.Bridges.IRC.Isolation)
	}
	for _, n := range networks {
		section := cfg.Bridges.Others[n.ID]
		if section == nil || !section.Enabled {
			continue
		}
		network, err := n.Connect(section.node())
		if err != nil {
			return nil, fmt.Errorf("bridges.%s.network: %w", n.ID, err)
		}
		plan(bridges.Options{ID: n.ID, Network: network, Permissions: section.Permissions.config()}, section.Isolation)
	}
	return plans, nil
}

// bridgesDir holds the bridges' databases, and the sockets of those that run in processes of their own.
func bridgesDir(cfg *Config) string { return filepath.Join(cfg.DataDir, "bridges") }

// processStatus tells how the process of a bridge is doing, nil for a bridge that has none.
func (set bridgeSet) processStatus(id string) *process.Status {
	for _, b := range set {
		if child, ok := b.bridgePart.(*process.Child); ok && child.Registration().ID == id {
			status := child.Status()
			return &status
		}
	}
	return nil
}

// networks are the bridges as the homeserver's users find them, with the way to sign in to each.
func (set bridgeSet) networks() []hsnetworks.Bridge {
	all := make([]hsnetworks.Bridge, len(set))
	for i, b := range set {
		reg := b.Registration()
		all[i] = hsnetworks.Bridge{
			ID: reg.ID, Name: b.network, URL: reg.URL + bridges.ProvisioningPath, Token: reg.HSToken, Transport: b.toBridge,
		}
	}
	return all
}

// openSocket opens the way by which bridges in other processes reach the homeserver, nil when there are none.
func (set bridgeSet) openSocket(cfg *Config, homeserver http.Handler, log zerolog.Logger) (*process.Homeserver, error) {
	isolated := slices.ContainsFunc(set, func(b hostedBridge) bool {
		_, ok := b.bridgePart.(*process.Child)
		return ok
	})
	if !isolated {
		return nil, nil
	}
	return process.ServeHomeserver(bridgesDir(cfg), homeserver, log.With().Str("part", "bridges").Logger())
}

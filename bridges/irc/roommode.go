package irc

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// The ways in which the people of a room are on its channel.
const (
	modeTransparent = "transparent" // each by a connection of their own
	modeRelay       = "relay"       // all by one
	modeBouncer     = "bouncer"     // only in rooms of their own
)

// RoomsConfig is how the people of a room are on its channel.
type RoomsConfig struct {
	// Mode is transparent (the default): each has a connection of their own; relay: one connection speaks for all; or bouncer:
	// people only have rooms of their own, by `!irc join`.
	Mode string `yaml:"mode,omitempty"`
	// Channels are exceptions by the name of a channel, in which * stands for anything. The longest that fits counts.
	Channels map[string]string `yaml:"channels,omitempty"`
}

func (r RoomsConfig) validate(field string) error {
	modes := []string{modeTransparent, modeRelay, modeBouncer}
	if r.Mode != "" && !slices.Contains(modes, r.Mode) {
		return fmt.Errorf("%s.mode: %q is none of %s", field, r.Mode, strings.Join(modes, ", "))
	}
	for _, pattern := range slices.Sorted(maps.Keys(r.Channels)) {
		switch _, err := path.Match(literal(pattern), "#"); {
		case !validChannel(pattern) && pattern != "*" || err != nil:
			return fmt.Errorf("%s.channels: %q is not the name of a channel", field, pattern)
		case !slices.Contains(modes, r.Channels[pattern]):
			return fmt.Errorf("%s.channels.%s: %q is none of %s", field, pattern, r.Channels[pattern], strings.Join(modes, ", "))
		}
	}
	return nil
}

// literal has path.Match take everything but * as it is, and * also for a slash.
func literal(pattern string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "?", `\?`, "/", "\x00").Replace(pattern)
}

// modeFor is what the configuration says about a channel.
func (n *network) modeFor(channel string) string {
	mode, longest := n.cfg.Rooms.Mode, -1
	folded := strings.ReplaceAll(n.ids.fold.Fold(channel), "/", "\x00")
	for pattern, its := range n.cfg.Rooms.Channels {
		if ok, _ := path.Match(literal(n.ids.fold.Fold(pattern)), folded); ok && len(pattern) > longest {
			mode, longest = its, len(pattern)
		}
	}
	if mode == "" {
		return modeTransparent
	}
	return mode
}

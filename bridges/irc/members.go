package irc

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The policies of MembersConfig.
const (
	showAll      = "all"
	showSpeakers = "speakers"
	showNone     = "none"
)

// MembersConfig says whom of a channel its room shows. A large channel costs an event for each who comes or goes.
type MembersConfig struct {
	// Show is all (the default); speakers, who enter the room when they first say something and leave it with the
	// channel; or none, who enter likewise and do not leave before the bridge starts again.
	Show string `yaml:"show,omitempty"`
	// Channels are exceptions: what to show, by the name of a channel.
	Channels map[string]string `yaml:"channels,omitempty"`
}

func (m MembersConfig) validate(field string) error {
	policies := []string{showAll, showSpeakers, showNone}
	if m.Show != "" && !slices.Contains(policies, m.Show) {
		return fmt.Errorf("%s.show: %q is none of %s", field, m.Show, strings.Join(policies, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Channels)) {
		switch {
		case !validChannel(name):
			return fmt.Errorf("%s.channels: %q is not the name of a channel", field, name)
		case !slices.Contains(policies, m.Channels[name]):
			return fmt.Errorf("%s.channels.%s: %q is none of %s", field, name, m.Channels[name], strings.Join(policies, ", "))
		}
	}
	return nil
}

// shows is the policy for a channel.
func (n *network) shows(channel string) string {
	for name, policy := range n.cfg.Members.Channels {
		if n.ids.fold.Fold(name) == n.ids.fold.Fold(channel) {
			return policy
		}
	}
	if n.cfg.Members.Show == "" {
		return showAll
	}
	return n.cfg.Members.Show
}

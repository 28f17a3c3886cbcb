package irc

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The policies of NetworkConfig.Plumb.
const (
	plumbConsent = "consent"
	plumbAdmins  = "admins"
	plumbOff     = "off"
)

// validatePlumb checks a policy; empty is the default.
func validatePlumb(policy, field string) error {
	policies := []string{plumbConsent, plumbAdmins, plumbOff}
	if policy != "" && !slices.Contains(policies, policy) {
		return fmt.Errorf("%s: %q is none of %s", field, policy, strings.Join(policies, ", "))
	}
	return nil
}

// StrictConfig names channels of which nobody reads anything without being seen there.
type StrictConfig struct {
	// Channels are names of channels, with * and ? for what may be anything. In their rooms nothing is sent to IRC, and nothing
	// from IRC is shown, while somebody is in the room who is not on the channel. The administrators of other rooms can
	// choose the same with `!irc strict on`.
	Channels []string `yaml:"channels,omitempty"`
	// Pause is how long changes are collected before the room is told who is missing. Default 5s.
	Pause time.Duration `yaml:"pause,omitempty"`
}

const (
	defaultStrictPause = 5 * time.Second
	maxStrictPause     = 5 * time.Minute
)

func (s StrictConfig) validate(field string) error {
	for _, pattern := range s.Channels {
		if !validChannel(pattern) {
			return fmt.Errorf("%s.channels: %q is not the name of a channel, nor a pattern of such names", field, pattern)
		}
	}
	if s.Pause < 0 || s.Pause > maxStrictPause {
		return fmt.Errorf("%s.pause: must be from 0s to %v", field, maxStrictPause)
	}
	return nil
}

// matches reports whether a channel is one of those.
func (s StrictConfig) matches(fold Casemapping, channel string) bool {
	return slices.ContainsFunc(s.Channels, func(pattern string) bool {
		return matchMask(fold.Fold(pattern), fold.Fold(channel))
	})
}

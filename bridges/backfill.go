package bridges

import (
	"fmt"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
)

// Backfill is the part of the configuration about what was said on a network before its room was made, or while the bridge was away,
// for networks that can be asked. It comes after what is in the room already: Matrix has no way to put it before.
type Backfill struct {
	// Initial is with how many messages a new room begins at most, and CatchUp how many are fetched at most of those
	// that were missed. 0 is none.
	Initial int `yaml:"initial"`
	CatchUp int `yaml:"catch_up"`
	// Threads is how many messages of each thread come with them.
	Threads int `yaml:"threads"`
}

const (
	// maxBackfill bounds the fields of Backfill: the messages are in memory, all at once.
	maxBackfill = 10000
	// unreadHours is after how many hours what is fetched counts as read.
	unreadHours = 720
)

// DefaultBackfill is as bridgev2's own bridges have it.
func DefaultBackfill() Backfill { return Backfill{Initial: 50, CatchUp: 500, Threads: 50} }

// Validate checks the configuration; errors name the field.
func (f Backfill) Validate() error {
	for _, field := range []struct {
		name  string
		value int
	}{{"initial", f.Initial}, {"catch_up", f.CatchUp}, {"threads", f.Threads}} {
		if field.value < 0 || field.value > maxBackfill {
			return fmt.Errorf("%s: must be between 0 and %d", field.name, maxBackfill)
		}
	}
	return nil
}

// config is what bridgev2 takes. Its queue, which would import what lies before a room's events, has no place to put it.
func (f Backfill) config() bridgeconfig.BackfillConfig {
	return bridgeconfig.BackfillConfig{
		Enabled:              f.Initial > 0 || f.CatchUp > 0,
		MaxInitialMessages:   f.Initial,
		MaxCatchupMessages:   f.CatchUp,
		UnreadHoursThreshold: unreadHours,
		Threads:              bridgeconfig.BackfillThreadsConfig{MaxInitialMessages: f.Threads},
	}
}

// importsHistory says whether rooms begin with what was said on the network before.
func (c *matrixConnector) importsHistory() bool {
	if c.Config.Bridge.Backfill.MaxInitialMessages == 0 {
		return false
	}
	for _, login := range c.Bridge.GetAllCachedUserLogins() {
		if _, ok := login.Client.(bridgev2.BackfillingNetworkAPI); ok {
			return true
		}
	}
	return false
}

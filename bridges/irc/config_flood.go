package irc

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// FloodConfig limits what one connection sends: a bucket of tokens, of which each line costs one, or more if it is long or of a
// command that servers weigh heavier.
type FloodConfig struct {
	// Unlimited sends as fast as the socket takes it; for one's own server.
	Unlimited bool `yaml:"unlimited,omitempty"`
	// Burst is the number of lines that go out at once. Default 5.
	Burst int `yaml:"burst,omitempty"`
	// Interval is the time per line after that. Default 2s.
	Interval time.Duration `yaml:"interval,omitempty"`
	// LineBytes is how long a line may be that costs one. Default 300.
	LineBytes int `yaml:"line_bytes,omitempty"`
	// ExtraBytes is how many bytes beyond cost one more. Default 150; a network that counts every 120 bytes, as those of ircu do,
	// wants 120 for both.
	ExtraBytes int `yaml:"extra_bytes,omitempty"`
	// Costs are what lines of some commands cost, in place of one; MODE_QUERY is a question about modes or lists. Default JOIN 2, NICK 3,
	// INVITE 3, TOPIC 2, NAMES 2, WHO 2, WHOIS 2, MODE_QUERY 2, CHATHISTORY 2. A batch costs what its lines cost, and its ends nothing.
	Costs map[string]float64 `yaml:"costs,omitempty"`
}

const (
	defaultLineBytes  = 300
	defaultExtraBytes = 150
	// modeQuestion is how FloodConfig.Costs calls MODE that asks.
	modeQuestion = "MODE_QUERY"
	// maxLineCost bounds FloodConfig.Costs.
	maxLineCost = 100
)

// standardCosts are those that the configuration does not name. Servers differ; these are about what ngIRCd, InspIRCd and IRCnet's have
// in proportion to a line of talk.
var standardCosts = map[string]float64{
	"JOIN": 2, "NICK": 3, "INVITE": 3, "TOPIC": 2, "NAMES": 2, "WHO": 2, "WHOIS": 2, modeQuestion: 2, "CHATHISTORY": 2, "BATCH": 0,
}

var costName = regexp.MustCompile(`^[A-Z]+$`)

func (f FloodConfig) validate(field string) error {
	switch {
	case f.Burst < 0:
		return fmt.Errorf("%s.burst: must not be negative", field)
	case f.Interval < 0:
		return fmt.Errorf("%s.interval: must not be negative", field)
	case f.LineBytes < 0:
		return fmt.Errorf("%s.line_bytes: must not be negative", field)
	case f.ExtraBytes < 0:
		return fmt.Errorf("%s.extra_bytes: must not be negative", field)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Costs)) {
		switch cost := f.Costs[name]; {
		case !costName.MatchString(name) && name != modeQuestion:
			return fmt.Errorf("%s.costs: %q is no command in capitals, nor %s", field, name, modeQuestion)
		case !(cost >= 0 && cost <= maxLineCost):
			return fmt.Errorf("%s.costs.%s: must be from 0 to %d", field, name, maxLineCost)
		}
	}
	return nil
}

// withDefaults fills what is left out.
func (f FloodConfig) withDefaults() FloodConfig {
	if f.Burst == 0 {
		f.Burst = 5
	}
	if f.Interval == 0 {
		f.Interval = 2 * time.Second
	}
	if f.Unlimited {
		f.Interval = 0
	}
	if f.LineBytes == 0 {
		f.LineBytes = defaultLineBytes
	}
	if f.ExtraBytes == 0 {
		f.ExtraBytes = defaultExtraBytes
	}
	costs := maps.Clone(standardCosts)
	maps.Copy(costs, f.Costs)
	f.Costs = costs
	return f
}

// cost is what a line takes of the bucket that is written as so many bytes with its end.
func (f FloodConfig) cost(line string, bytes int) float64 {
	cost := 1.0
	if its, known := f.Costs[costOf(line)]; known {
		cost = its
	}
	return cost + float64(max(bytes-f.LineBytes, 0))/float64(f.ExtraBytes)
}

// costOf is how FloodConfig.Costs calls a line.
func costOf(line string) string {
	if strings.HasPrefix(line, "@") {
		_, line, _ = strings.Cut(line, " ")
	}
	words := strings.Fields(line)
	switch {
	case len(words) == 0:
		return ""
	case words[0] == "MODE" && (len(words) == 2 || len(words) == 3 && strings.Trim(words[2], "+beqI") == ""):
		return modeQuestion
	}
	return words[0]
}

// costOf is what the lines of an entry cost together.
func (c *client) costOf(e entry) float64 {
	cs, cost := c.charset(), 0.0
	for _, line := range e.lines() {
		cost += c.net.cfg.Flood.cost(line, len(cs.bytes(line))+len("\r\n"))
	}
	return cost
}

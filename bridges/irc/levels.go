package irc

import (
	"fmt"
	"strings"
)

// ModesConfig says how the modes of a channel and the power levels of its room go together.
type ModesConfig struct {
	// Levels are the power levels that ranks on IRC have in a room, by letter of the mode: q 95 (owner),
	// a 90 (admin), o 50 (operator), h 30 (half-operator) and v 1 (voice), unless said otherwise.
	Levels map[string]int `yaml:"levels,omitempty"`
	// Publish lists the rooms of channels in the directory of this server, unless the channel is secret (+s)
	// or private (+p).
	Publish bool `yaml:"publish,omitempty"`
	// Unlisted keeps the same rooms also out of the list that clients show of the rooms of this network.
	Unlisted bool `yaml:"unlisted,omitempty"`
}

// standardLevels are the levels that the configuration does not name.
var standardLevels = map[string]int{"q": 95, "a": 90, "o": 50, "h": 30, "v": 1}

// maxLevel is below what the bridge itself has in rooms without creators of unlimited power.
const maxLevel = 100

func (m ModesConfig) validate(field string) error {
	for letter, level := range m.Levels {
		switch {
		case len(letter) != 1 || letter < "A" || letter > "z":
			return fmt.Errorf("%s.levels: %q is not the letter of a mode", field, letter)
		case level < 1 || level > maxLevel:
			return fmt.Errorf("%s.levels.%s: must be from 1 to %d", field, letter, maxLevel)
		}
	}
	return nil
}

// withDefaults fills what is left out.
func (m ModesConfig) withDefaults() ModesConfig {
	levels := map[string]int{}
	for letter, level := range standardLevels {
		levels[letter] = level
	}
	for letter, level := range m.Levels {
		levels[letter] = level
	}
	m.Levels = levels
	return m
}

const (
	// quietLevel is the level of who may not speak, which is below that of everybody else.
	quietLevel = -1
	// normalLevel is that of who has no rank.
	normalLevel = 0
)

// level is the power level of a rank, the highest of its modes.
func (m ModesConfig) level(rank string) int {
	level := normalLevel
	for i := range len(rank) {
		level = max(level, m.Levels[rank[i:i+1]])
	}
	return level
}

// rankFor is the mode of rank, of those that a server has, that a power level stands for, or empty.
func (m ModesConfig) rankFor(level int, ranks string) string {
	best := ""
	for i := range len(ranks) {
		letter := ranks[i : i+1]
		if l, known := m.Levels[letter]; known && l <= level && (best == "" || l > m.Levels[best]) {
			best = letter
		}
	}
	return best
}

// allRanks are all the modes of rank that have a level.
func (m ModesConfig) allRanks() string {
	var b strings.Builder
	for letter := range m.Levels {
		b.WriteString(letter)
	}
	return b.String()
}

// means reports whether two levels stand for the same on IRC.
func (m ModesConfig) means(a, b int) bool {
	ranks := m.allRanks()
	return m.rankFor(a, ranks) == m.rankFor(b, ranks) && (a < 0) == (b < 0)
}

// topicLevel is what is needed to set the topic where not everybody may.
func (m ModesConfig) topicLevel() int { return min(m.Levels["h"], m.Levels["o"]) }

package eventauth

import (
	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// powerLevelRules are rule 10.
func (c *checker) powerLevelRules() (bool, error) {
	if c.p.Type != event.TypePowerLevels {
		return false, nil
	}
	// 10.1 to 10.3
	next, err := c.p.PowerLevels()
	if err != nil {
		return false, reject("10.1 to 10.3", "The power levels are malformed")
	}
	// 10.4
	if c.version.PrivilegedCreators {
		for user := range next.Users {
			if c.create.IsCreator(user) {
				return false, reject("10.4", "The room's creators cannot be given a power level")
			}
		}
	}
	// 10.5
	if !c.hasLevels {
		return true, nil
	}
	if err := c.namedLevels(next); err != nil {
		return false, err
	}
	if err := c.eventLevels(c.levels.Events, next.Events); err != nil {
		return false, err
	}
	if c.version.NotificationLevels {
		if err := c.eventLevels(c.levels.Notifications, next.Notifications); err != nil {
			return false, err
		}
	}
	return true, c.userLevels(next.Users)
}

// namedLevels is rule 10.6.
func (c *checker) namedLevels(next *event.PowerLevels) error {
	for _, name := range event.LevelNames {
		before, had := c.levels.Explicit(name)
		after, has := next.Explicit(name)
		if had == has && before == after {
			continue
		}
		if had && before > c.senderLevel {
			return reject("10.6.1", "The sender cannot change a level above their own")
		}
		if has && after > c.senderLevel {
			return reject("10.6.2", "The sender cannot set a level above their own")
		}
	}
	return nil
}

// eventLevels are rules 10.7 and 10.8, for events and for notifications.
func (c *checker) eventLevels(before, after map[string]int64) error {
	for key, level := range before {
		if now, ok := after[key]; (!ok || now != level) && level > c.senderLevel {
			return reject("10.7.1", "The sender cannot change a level above their own")
		}
	}
	if c.raises(highest(before, after)) {
		return reject("10.8.1", "The sender cannot set a level above their own")
	}
	return nil
}

// userLevels are rules 10.9 and 10.10.
func (c *checker) userLevels(after map[id.UserID]int64) error {
	for user, level := range c.levels.Users {
		if now, ok := after[user]; ok && now == level || user == c.p.Sender {
			continue
		}
		if level >= c.senderLevel {
			return reject("10.9.1", "The sender cannot change the level of a user who is not below them")
		}
	}
	if c.raises(highest(c.levels.Users, after)) {
		return reject("10.10.1", "The sender cannot give anyone a level above their own")
	}
	return nil
}

// raises reports whether level, if there is one, is above the sender's.
func (c *checker) raises(level int64, ok bool) bool { return ok && level > c.senderLevel }

// highest returns the highest level that after adds to before, or changes one to, if there is any.
func highest[K comparable](before, after map[K]int64) (level int64, ok bool) {
	for key, now := range after {
		if was, had := before[key]; had && was == now {
			continue
		}
		if !ok || now > level {
			level, ok = now, true
		}
	}
	return level, ok
}

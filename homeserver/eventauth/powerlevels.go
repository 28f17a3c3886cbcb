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
	if err := changedLevels(c, "10.7", "10.8", c.levels.Events, next.Events); err != nil {
		return false, err
	}
	if c.version.NotificationLevels {
		if err := changedLevels(c, "10.7", "10.8", c.levels.Notifications, next.Notifications); err != nil {
			return false, err
		}
	}
	return true, c.changedUsers(next)
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

// changedLevels are rules 10.7 and 10.8: no entry above the sender's level may be changed or removed, nor may one be added or changed
// to be above it.
func changedLevels[K ~string](c *checker, removeRule, addRule string, before, after map[K]int64) error {
	for key, level := range before {
		if now, ok := after[key]; (!ok || now != level) && level > c.senderLevel {
			return reject(removeRule, "The sender cannot change a level above their own")
		}
	}
	for key, level := range after {
		if was, ok := before[key]; (!ok || was != level) && level > c.senderLevel {
			return reject(addRule, "The sender cannot set a level above their own")
		}
	}
	return nil
}

// changedUsers are rules 10.9 and 10.10.
func (c *checker) changedUsers(next *event.PowerLevels) error {
	for user, level := range c.levels.Users {
		if now, ok := next.Users[user]; ok && now == level || user == c.p.Sender {
			continue
		}
		if level >= c.senderLevel {
			return reject("10.9.1", "The sender cannot change the level of a user who is not below them")
		}
	}
	return changedLevels[id.UserID](c, "", "10.10.1", nil, changed(c.levels.Users, next.Users))
}

// changed returns the entries of after that are not so in before.
func changed(before, after map[id.UserID]int64) map[id.UserID]int64 {
	m := make(map[id.UserID]int64)
	for user, level := range after {
		if was, ok := before[user]; !ok || was != level {
			m[user] = level
		}
	}
	return m
}

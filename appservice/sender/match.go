package sender

import (
	"causeway/registration"

	"maunium.net/go/mautrix/id"
)

// matcher tells what is in the namespaces of an application service.
type matcher struct {
	reg        *registration.Registration
	serverName string
	bot        id.UserID
}

func newMatcher(reg *registration.Registration, serverName string) *matcher {
	return &matcher{reg: reg, serverName: serverName, bot: id.NewUserID(reg.SenderLocalpart, serverName)}
}

func (m *matcher) hasAliases() bool { return len(m.reg.Namespaces.Aliases) > 0 }

// matchUser tells whether a user is the service's bot or of its namespaces. Only users of this server can be.
func (m *matcher) matchUser(user id.UserID) bool {
	return user.Homeserver() == m.serverName && m.reg.MatchesUser(user)
}

func (m *matcher) matchAlias(alias id.RoomAlias) bool { return m.reg.MatchesAlias(alias) }

func (m *matcher) matchRoom(room id.RoomID) bool { return m.reg.MatchesRoom(room) }

// clients returns the clients of all services, in the order of the registrations that hold now. A registration that did not
// change keeps its client.
func (s *Sender) clients() []*client {
	set := s.opt.Registrations()
	s.mu.Lock()
	defer s.mu.Unlock()
	if set == s.set {
		return s.all
	}
	known := make(map[string]*client, len(s.all))
	for _, c := range s.all {
		known[c.reg.ID] = c
	}
	var all []*client
	if set != nil {
		for _, reg := range set.All() {
			c := known[reg.ID]
			if c == nil || !reg.Equal(c.reg) {
				c = s.newClient(reg)
			}
			all = append(all, c)
		}
	}
	s.set, s.all = set, all
	return all
}

// client returns the client of a service, or nil when there is no such service.
func (s *Sender) client(appServiceID string) *client {
	for _, c := range s.clients() {
		if c.reg.ID == appServiceID {
			return c
		}
	}
	return nil
}

func (s *Sender) newClient(reg *registration.Registration) *client {
	if s.opt.Transport != nil {
		if transport := s.opt.Transport(reg); transport != nil {
			return newClient(newMatcher(reg, s.opt.ServerName), transport, true)
		}
	}
	return newClient(newMatcher(reg, s.opt.ServerName), s.networkTo(reg.URL), false)
}

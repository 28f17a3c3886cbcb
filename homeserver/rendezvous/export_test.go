package rendezvous

// The bounds, for tests.
const (
	MaxSessions = maxSessions
	MaxOwned    = maxOwned
	MaxWrites   = maxWrites
)

// Count returns how many sessions there are, and of how many.
func (s *Service) Count() (sessions, owners int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions), len(s.owned)
}

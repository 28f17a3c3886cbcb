package oauth

// SetNow sets the clock, in milliseconds.
func (s *Service) SetNow(now func() int64) { s.now = now }

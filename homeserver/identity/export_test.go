package identity

import "context"

// Deliver delivers what is due.
func (s *Service) Deliver(ctx context.Context) error { return s.deliver(ctx) }

// ParseXMatrix is for the fuzz test.
var ParseXMatrix = parseXMatrix

// ShownName is shownName.
var ShownName = shownName

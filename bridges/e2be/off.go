//go:build !goolm

package e2be

import (
	"context"

	"maunium.net/go/mautrix/bridgev2/matrix"
)

// Available says whether the program was built with encryption.
const Available = false

// Machine is of no use in this program.
type Machine struct{ matrix.Crypto }

// New returns ErrNotBuilt.
func New(Options) (*Machine, error) { return nil, ErrNotBuilt }

// Receive is never called.
func (m *Machine) Receive(context.Context, Beside) error { return ErrNotBuilt }

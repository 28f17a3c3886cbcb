//go:build goolm

package e2be

import (
	"context"

	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix/crypto"
)

// store is mautrix's, in the bridge's database.
type store struct{ *crypto.SQLCryptoStore }

func newStore(o Options, log dbutil.DatabaseLogger) *store {
	return &store{crypto.NewSQLCryptoStore(o.DB, log, o.Account, "", o.PickleKey)}
}

// forget deletes the device's own keys and what it shared by them.
func (s *store) forget(ctx context.Context) error {
	return s.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
		for _, query := range []string{
			`DELETE FROM crypto_account WHERE account_id=$1`,
			`DELETE FROM crypto_olm_session WHERE account_id=$1`,
			`DELETE FROM crypto_megolm_outbound_session WHERE account_id=$1`,
		} {
			if _, err := s.DB.Exec(ctx, query, s.AccountID); err != nil {
				return err
			}
		}
		return nil
	})
}

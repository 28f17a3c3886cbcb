package store

import "fmt"

// AppService is how far an application service has followed the stream.
type AppService struct {
	ID      string
	Pos     int64          // events up to here were acknowledged or of no interest
	Txn     int64          // number of the newest transaction, 0 before the first
	Pending *AppServiceTxn // the transaction that is not acknowledged, nil for none
}

// AppServiceTxn is a transaction as it is sent to an application service, every time the same.
type AppServiceTxn struct {
	Txn  int64
	Upto int64 // position of the last event that it stands for
	Body []byte
}

// AppService returns the cursor of an application service. ErrNotFound when this server has never seen the service.
func (tx *Tx) AppService(serviceID string) (AppService, error) {
	a := AppService{ID: serviceID}
	found, err := tx.Row(`SELECT pos, txn FROM appservices WHERE id = $1`, []any{serviceID}, &a.Pos, &a.Txn)
	if err == nil && !found {
		err = fmt.Errorf("application service %s: %w", serviceID, ErrNotFound)
	}
	if err != nil {
		return AppService{}, err
	}
	var p AppServiceTxn
	found, err = tx.Row(`SELECT txn, upto, body FROM appservice_pending WHERE id = $1`, []any{serviceID}, &p.Txn, &p.Upto, &p.Body)
	if err != nil {
		return AppService{}, err
	}
	if found {
		a.Pending = &p
	}
	return a, nil
}

// SaveAppService puts a in the place of what is stored of this application service: cursor and pending transaction together.
func (tx *Tx) SaveAppService(a AppService) error {
	if err := tx.SaveAppServicePos(a.ID, a.Pos, a.Txn); err != nil {
		return err
	}
	if a.Pending == nil {
		_, err := tx.Exec(`DELETE FROM appservice_pending WHERE id = $1`, a.ID)
		return err
	}
	_, err := tx.Exec(`INSERT INTO appservice_pending (id, txn, upto, body) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET txn = excluded.txn, upto = excluded.upto, body = excluded.body`,
		a.ID, a.Pending.Txn, a.Pending.Upto, a.Pending.Body)
	return err
}

// SaveAppServicePos moves the cursor of an application service and leaves its pending transaction alone.
func (tx *Tx) SaveAppServicePos(serviceID string, pos, txn int64) error {
	_, err := tx.Exec(`INSERT INTO appservices (id, pos, txn) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET pos = excluded.pos, txn = excluded.txn`, serviceID, pos, txn)
	return err
}

package store

// AcceptTerms records that a user has accepted a version of a document.
func (tx *Tx) AcceptTerms(userNID int64, policy, version string, ts int64) error {
	_, err := tx.Exec(`INSERT INTO accepted_terms (user_nid, policy, version, ts) VALUES ($1, $2, $3, $4)
		ON CONFLICT (user_nid, policy, version) DO NOTHING`, userNID, policy, version, ts)
	return err
}

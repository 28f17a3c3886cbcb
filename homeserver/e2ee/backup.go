package e2ee

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Bounds on what one request puts into a backup, beside that on its body.
const (
	maxSessionDataBytes = 32 << 10
	maxAuthDataBytes    = 64 << 10
	maxKeysPerRequest   = 20_000
)

// maxBackups bounds what one user has in backups: versions that are there at the same time, and in all of them together keys, and bytes
// that the data of these have.
var maxBackups = store.KeyBackupTotals{Versions: 100, Keys: 1 << 20, Bytes: 2 << 30}

// BackupInfo is a version of a backup as its user defines it.
type BackupInfo struct {
	Algorithm string          `json:"algorithm"`
	AuthData  json.RawMessage `json:"auth_data"`
	// Version is "" in a request that does not say it.
	Version string `json:"version"`
}

// BackupState tells which keys are in a backup: how many, and by which name for just these.
type BackupState struct {
	Count int64  `json:"count"`
	ETag  string `json:"etag"`
}

// Backup is a version of a backup.
type Backup struct {
	BackupInfo
	BackupState
}

func state(b *store.KeyBackup) BackupState {
	return BackupState{Count: b.Count, ETag: strconv.FormatInt(b.ETag, 10)}
}

func described(b *store.KeyBackup) Backup {
	return Backup{
		BackupInfo:  BackupInfo{Algorithm: b.Algorithm, AuthData: b.AuthData, Version: versionName(b.Version)},
		BackupState: state(b),
	}
}

// versionName is a version as clients know it.
func versionName(version int64) string { return strconv.FormatInt(version, 10) }

// versionNumber is the opposite, 0 for what is none.
func versionNumber(name string) int64 {
	n, err := strconv.ParseInt(name, 10, 64)
	if err != nil || n <= 0 || versionName(n) != name {
		return 0
	}
	return n
}

func missingParam(name string) error {
	return matrixError(http.StatusBadRequest, "M_MISSING_PARAM", "Missing %s", name)
}

// noBackup is the error of a request about a backup that is not there.
func noBackup() error {
	return matrixError(http.StatusNotFound, "M_NOT_FOUND", "There is no such backup")
}

// check returns the definition of a backup as it is stored.
func (in BackupInfo) check() (BackupInfo, error) {
	switch {
	case in.Algorithm == "":
		return in, missingParam("algorithm")
	case !isName(in.Algorithm):
		return in, invalidParam("algorithm can have %d bytes", maxNameBytes)
	case absent(in.AuthData):
		return in, missingParam("auth_data")
	}
	var err error
	in.AuthData, err = compactObject("auth_data", in.AuthData, maxAuthDataBytes)
	return in, err
}

// absent tells whether a field was not there, or null.
func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// compactObject returns an object that a client sent without the space between its parts.
func compactObject(field string, raw json.RawMessage, limit int) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil || b.Bytes()[0] != '{' {
		return nil, badJSON("%s must be an object", field)
	}
	if b.Len() > limit {
		return nil, tooLarge("%s can have %d bytes", field, limit)
	}
	return b.Bytes(), nil
}

// CreateBackup begins a new version of a user's backup, to which keys go from then on, and returns its version (Client-Server API, POST
// /room_keys/version). Errors: M_MISSING_PARAM, M_BAD_JSON, M_INVALID_PARAM, M_TOO_LARGE, M_UNKNOWN_TOKEN for a device that is gone.
func (s *Service) CreateBackup(ctx context.Context, by By, in BackupInfo) (version string, err error) {
	if in, err = in.check(); err != nil {
		return "", err
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		userNID, err := owner(tx, by)
		if err != nil {
			return err
		}
		totals, err := tx.KeyBackupTotals(userNID)
		if err != nil {
			return err
		}
		if totals.Versions >= s.maxBackups.Versions {
			return tooLarge("There can be %d versions of a backup: delete one first", s.maxBackups.Versions)
		}
		b, err := tx.InsertKeyBackup(userNID, in.Algorithm, in.AuthData)
		if err == nil {
			version = versionName(b.Version)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("create a backup for %s: %w", by.User, err)
	}
	return version, nil
}

// owner returns the user on whose behalf a device acts that is still there. The error is M_UNKNOWN_TOKEN.
func owner(tx *store.Tx, by By) (int64, error) {
	if by.Device != "" {
		has, err := tx.HasDevice(by.User, by.Device)
		if err == nil && !has {
			err = signedOut()
		}
		if err != nil {
			return 0, err
		}
	}
	return holder(tx, by.User)
}

// holder returns a user whose account has not ended since the request came: nothing of theirs is to be kept then. The error is M_UNKNOWN_TOKEN.
func holder(tx *store.Tx, user id.UserID) (int64, error) {
	u, err := tx.User(user)
	if errors.Is(err, store.ErrNotFound) {
		return tx.NID(string(user))
	}
	if err == nil && u.Deactivated {
		err = signedOut()
	}
	if err != nil {
		return 0, err
	}
	return u.NID, nil
}

// Backup returns a version of a user's backup, or, for "", that to which keys go (Client-Server API, GET /room_keys/version). Errors:
// M_NOT_FOUND.
func (s *Service) Backup(ctx context.Context, user id.UserID, version string) (found Backup, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		userNID, err := tx.LookupNID(string(user))
		if err != nil {
			return err
		}
		b, err := currentBackup(tx, userNID)
		if version != "" {
			b, err = findBackup(tx, userNID, version)
		}
		if err == nil {
			found = described(b)
		}
		return err
	})
	if err != nil {
		return found, fmt.Errorf("read a backup of %s: %w", user, err)
	}
	return found, nil
}

func currentBackup(tx *store.Tx, userNID int64) (*store.KeyBackup, error) {
	b, err := tx.CurrentKeyBackup(userNID)
	if errors.Is(err, store.ErrNotFound) {
		err = noBackup()
	}
	return b, err
}

func findBackup(tx *store.Tx, userNID int64, version string) (*store.KeyBackup, error) {
	n := versionNumber(version)
	if n == 0 {
		return nil, noBackup()
	}
	b, err := tx.KeyBackup(userNID, n)
	if errors.Is(err, store.ErrNotFound) {
		err = noBackup()
	}
	return b, err
}

// UpdateBackup changes the auth_data of a version of a backup (Client-Server API, PUT /room_keys/version/{version}). Errors: those of
// CreateBackup, M_INVALID_PARAM for another algorithm or version, M_NOT_FOUND.
func (s *Service) UpdateBackup(ctx context.Context, by By, version string, in BackupInfo) error {
	in, err := in.check()
	if err != nil {
		return err
	}
	if in.Version != "" && in.Version != version {
		return invalidParam("The version of the body is not that of the path")
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		userNID, err := owner(tx, by)
		if err != nil {
			return err
		}
		b, err := findBackup(tx, userNID, version)
		if err != nil {
			return err
		}
		if b.Algorithm != in.Algorithm {
			return invalidParam("The algorithm of a backup does not change")
		}
		return tx.SetKeyBackupAuthData(b, in.AuthData)
	})
	if err != nil {
		return fmt.Errorf("change a backup of %s: %w", by.User, err)
	}
	return nil
}

// DeleteBackup deletes a version of a backup with its keys. It is no error when it was deleted before (Client-Server API, DELETE
// /room_keys/version/{version}). Errors: M_NOT_FOUND for a version that there never was.
func (s *Service) DeleteBackup(ctx context.Context, by By, version string) error {
	more := false
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		userNID, err := owner(tx, by)
		if err != nil {
			return err
		}
		b, err := findBackup(tx, userNID, version)
		if err == nil {
			more, err = tx.DeleteKeyBackup(b)
			return err
		}
		newest, newestErr := tx.NewestKeyBackupVersion(userNID)
		if newestErr != nil {
			return newestErr
		}
		if n := versionNumber(version); errors.As(err, new(mautrix.RespError)) && 0 < n && n <= newest {
			return nil
		}
		return err
	})
	if err == nil && more {
		err = s.SweepBackups(ctx)
	}
	if err != nil {
		return fmt.Errorf("delete a backup of %s: %w", by.User, err)
	}
	return nil
}

// SweepBackups deletes the keys of backups that were deleted and had too many keys for one transaction. The maintenance calls it for what
// was interrupted.
func (s *Service) SweepBackups(ctx context.Context) error {
	for more := true; more; {
		err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
			more, err = tx.SweepKeyBackups()
			return err
		})
		if err != nil {
			return fmt.Errorf("delete the keys of deleted backups: %w", err)
		}
	}
	return nil
}

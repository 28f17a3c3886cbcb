//go:build goolm

package main

import (
	"context"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/crypto/backup"
	"maunium.net/go/mautrix/crypto/verificationhelper"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

type recovery struct {
	RecoveryKey string `json:"recovery_key"`
	Backup      string `json:"backup"`
}

// signKeys makes cross-signing keys, signs the device with them, and returns the key of the secret storage where they are.
func (g *gopher) signKeys(ctx context.Context, _ struct{}) (any, error) {
	mach := g.helper.Machine()
	key, _, err := mach.GenerateAndUploadCrossSigningKeysWithPassword(ctx, g.password, "")
	if err != nil {
		return nil, err
	}
	if err := mach.SignOwnDevice(ctx, mach.OwnIdentity()); err != nil {
		return nil, fmt.Errorf("sign the device: %w", err)
	}
	if err := mach.SignOwnMasterKey(ctx); err != nil {
		return nil, fmt.Errorf("sign the master key: %w", err)
	}
	return recovery{RecoveryKey: key}, nil
}

// recover takes the cross-signing keys from the secret storage, signs the device with them, and restores the backup of the keys of rooms.
func (g *gopher) recover(ctx context.Context, in recovery) (any, error) {
	mach := g.helper.Machine()
	if err := mach.VerifyWithRecoveryKey(ctx, in.RecoveryKey); err != nil {
		return nil, err
	}
	keyID, data, err := mach.SSSS.GetDefaultKeyData(ctx)
	if err != nil {
		return nil, err
	}
	key, err := data.VerifyRecoveryKey(keyID, in.RecoveryKey)
	if err != nil {
		return nil, err
	}
	secret, err := mach.SSSS.GetDecryptedAccountData(ctx, event.AccountDataMegolmBackupKey, key)
	if err != nil {
		return nil, fmt.Errorf("read the key of the backup: %w", err)
	}
	backupKey, err := backup.MegolmBackupKeyFromBytes(secret)
	if err != nil {
		return nil, err
	}
	version, err := mach.DownloadAndStoreLatestKeyBackup(ctx, backupKey)
	return recovery{Backup: string(version)}, err
}

// trust tells whether a user is trusted, whether their cross-signing keys are known, and how far a device is trusted.
func (g *gopher) trust(ctx context.Context, in userArgs) (any, error) {
	mach := g.helper.Machine()
	var out struct {
		User   bool   `json:"user"`
		Known  bool   `json:"known"`
		Device string `json:"device"`
	}
	keys, err := mach.GetCrossSigningPublicKeys(ctx, in.UserID)
	if err != nil {
		return nil, err
	}
	out.Known = keys != nil && keys.MasterKey != ""
	if out.User, err = mach.IsUserTrusted(ctx, in.UserID); err != nil || in.DeviceID == "" {
		return out, err
	}
	device, err := mach.GetOrFetchDevice(ctx, in.UserID, in.DeviceID)
	if err != nil {
		return nil, err
	}
	state, err := mach.ResolveTrustContext(ctx, device)
	out.Device = state.String()
	return out, err
}

// verification is how far a verification has come.
type verification struct {
	TxnID id.VerificationTransactionID `json:"txn_id"`
	State string                       `json:"state"` // requested, ready, shown, done or cancelled
	// Emoji are the words for the emojis that are shown.
	Emoji  string `json:"emoji,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// verify asks all devices of a user to verify this one.
func (g *gopher) verify(ctx context.Context, in userArgs) (any, error) {
	txn, err := g.verifier.StartVerification(ctx, in.UserID)
	return verification{TxnID: txn}, err
}

func (g *gopher) accept(ctx context.Context, in verification) (any, error) {
	return nil, g.verifier.AcceptVerification(ctx, in.TxnID)
}

func (g *gopher) start(ctx context.Context, in verification) (any, error) {
	return nil, g.verifier.StartSAS(ctx, in.TxnID)
}

func (g *gopher) confirm(ctx context.Context, in verification) (any, error) {
	return nil, g.verifier.ConfirmSAS(ctx, in.TxnID)
}

// callbacks prints what the verifications come to. They are called with the helper's lock held, and so do no more.
type callbacks struct{}

func say(v verification) { write(line{Verification: &v}) }

// VerificationRequested implements verificationhelper.RequiredCallbacks.
func (callbacks) VerificationRequested(_ context.Context, txn id.VerificationTransactionID, _ id.UserID, _ id.DeviceID) {
	say(verification{TxnID: txn, State: "requested"})
}

// VerificationReady implements verificationhelper.RequiredCallbacks.
func (callbacks) VerificationReady(_ context.Context, txn id.VerificationTransactionID, _ id.DeviceID, _, _ bool, _ *verificationhelper.QRCode) {
	say(verification{TxnID: txn, State: "ready"})
}

// VerificationCancelled implements verificationhelper.RequiredCallbacks.
func (callbacks) VerificationCancelled(_ context.Context, txn id.VerificationTransactionID, code event.VerificationCancelCode, reason string) {
	say(verification{TxnID: txn, State: "cancelled", Reason: string(code) + ": " + reason})
}

// VerificationDone implements verificationhelper.RequiredCallbacks.
func (callbacks) VerificationDone(_ context.Context, txn id.VerificationTransactionID, _ event.VerificationMethod) {
	say(verification{TxnID: txn, State: "done"})
}

// ShowSAS implements verificationhelper.ShowSASCallbacks.
func (callbacks) ShowSAS(_ context.Context, txn id.VerificationTransactionID, _ []rune, words []string, _ []int) {
	say(verification{TxnID: txn, State: "shown", Emoji: strings.Join(words, " ")})
}

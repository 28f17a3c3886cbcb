package clientapi

import (
	"context"
	"net/http"

	"causeway/homeserver/e2ee"
	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

// keyBackup has the server-side key backups.
func (a *API) keyBackup() []row {
	const (
		version = "/room_keys/version"
		keys    = "/room_keys/keys"
		room    = keys + "/{roomId}"
		session = room + "/{sessionId}"
	)
	return []row{
		{"POST", version, user, httpapi.JSON(a.createBackup).Limited(httpapi.ClassDevice)},
		{"GET", version, user, httpapi.JSON(a.backup).Limited(httpapi.ClassDevice)},
		{"GET", version + "/{version}", user, httpapi.JSON(a.backup).Limited(httpapi.ClassDevice)},
		{"PUT", version + "/{version}", user, httpapi.JSON(a.updateBackup).Limited(httpapi.ClassDevice)},
		{"DELETE", version + "/{version}", user, httpapi.JSON(a.deleteBackup).Limited(httpapi.ClassDevice)},
		{"PUT", keys, user, httpapi.JSON(a.backUpKeys).MaxBody(httpapi.LargeMaxBody).Limited(httpapi.ClassDevice)},
		{"PUT", room, user, httpapi.JSON(a.backUpRoom).MaxBody(httpapi.LargeMaxBody).Limited(httpapi.ClassDevice)},
		{"PUT", session, user, httpapi.JSON(a.backUpSession).Limited(httpapi.ClassDevice)},
		{"GET", keys, user, httpapi.Raw(a.backedUpKeys).Limited(httpapi.ClassDevice)},
		{"GET", room, user, httpapi.Raw(a.backedUpKeys).Limited(httpapi.ClassDevice)},
		{"GET", session, user, httpapi.JSON(a.backedUpSession).Limited(httpapi.ClassDevice)},
		{"DELETE", keys, user, httpapi.JSON(a.deleteBackedUp).Limited(httpapi.ClassDevice)},
		{"DELETE", room, user, httpapi.JSON(a.deleteBackedUp).Limited(httpapi.ClassDevice)},
		{"DELETE", session, user, httpapi.JSON(a.deleteBackedUp).Limited(httpapi.ClassDevice)},
	}
}

type backupVersion struct {
	Version string `json:"version"`
}

// createBackup is POST /room_keys/version.
func (a *API) createBackup(ctx context.Context, r *httpapi.Request, in e2ee.BackupInfo) (backupVersion, error) {
	version, err := a.E2EE.CreateBackup(ctx, byDevice(r), in)
	return backupVersion{version}, err
}

// backup is GET /room_keys/version, and /room_keys/version/{version}.
func (a *API) backup(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (e2ee.Backup, error) {
	return a.E2EE.Backup(ctx, r.Requester.UserID, r.Path("version"))
}

// updateBackup is PUT /room_keys/version/{version}.
func (a *API) updateBackup(ctx context.Context, r *httpapi.Request, in e2ee.BackupInfo) (httpapi.Empty, error) {
	return httpapi.Empty{}, a.E2EE.UpdateBackup(ctx, byDevice(r), r.Path("version"), in)
}

// deleteBackup is DELETE /room_keys/version/{version}.
func (a *API) deleteBackup(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	return httpapi.Empty{}, a.E2EE.DeleteBackup(ctx, byDevice(r), r.Path("version"))
}

// backUpKeys is PUT /room_keys/keys.
func (a *API) backUpKeys(ctx context.Context, r *httpapi.Request, in e2ee.RoomsBackup) (e2ee.BackupState, error) {
	return a.backUp(ctx, r, in)
}

// backUpRoom is PUT /room_keys/keys/{roomId}.
func (a *API) backUpRoom(ctx context.Context, r *httpapi.Request, in e2ee.RoomBackup) (e2ee.BackupState, error) {
	return a.backUp(ctx, r, e2ee.RoomsBackup{Rooms: map[id.RoomID]e2ee.RoomBackup{id.RoomID(r.Path("roomId")): in}})
}

// backUpSession is PUT /room_keys/keys/{roomId}/{sessionId}.
func (a *API) backUpSession(ctx context.Context, r *httpapi.Request, in e2ee.BackedUpKey) (e2ee.BackupState, error) {
	room := e2ee.RoomBackup{Sessions: map[id.SessionID]e2ee.BackedUpKey{id.SessionID(r.Path("sessionId")): in}}
	return a.backUp(ctx, r, e2ee.RoomsBackup{Rooms: map[id.RoomID]e2ee.RoomBackup{id.RoomID(r.Path("roomId")): room}})
}

func (a *API) backUp(ctx context.Context, r *httpapi.Request, in e2ee.RoomsBackup) (e2ee.BackupState, error) {
	version, err := versionParam(r)
	if err != nil {
		return e2ee.BackupState{}, err
	}
	return a.E2EE.BackUp(ctx, byDevice(r), version, in)
}

// versionParam returns the query's version, which has to be there.
func versionParam(r *httpapi.Request) (string, error) {
	version := r.Query("version")
	if version == "" {
		return "", httpapi.MissingParam("version")
	}
	return version, nil
}

// backedUpKeys is GET /room_keys/keys, and /room_keys/keys/{roomId}.
func (a *API) backedUpKeys(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	version, err := versionParam(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return a.E2EE.WriteBackedUp(ctx, r.Requester.UserID, version, id.RoomID(r.Path("roomId")), w)
}

// backedUpSession is GET /room_keys/keys/{roomId}/{sessionId}.
func (a *API) backedUpSession(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (e2ee.BackedUpKey, error) {
	version, err := versionParam(r)
	if err != nil {
		return e2ee.BackedUpKey{}, err
	}
	return a.E2EE.BackedUpKey(ctx, r.Requester.UserID, version, id.RoomID(r.Path("roomId")), id.SessionID(r.Path("sessionId")))
}

// deleteBackedUp is DELETE /room_keys/keys, /room_keys/keys/{roomId}, and /room_keys/keys/{roomId}/{sessionId}.
func (a *API) deleteBackedUp(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (e2ee.BackupState, error) {
	version, err := versionParam(r)
	if err != nil {
		return e2ee.BackupState{}, err
	}
	return a.E2EE.DeleteBackedUp(ctx, byDevice(r), version, id.RoomID(r.Path("roomId")), id.SessionID(r.Path("sessionId")))
}

package bridges

import (
	"errors"
	"net/http"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// makeRouter is all that the homeserver may call, on a page. What is not named here is mautrix's: pings, and
// the endpoints bridgev2 mounts itself.
func (b *Bridge) makeRouter() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /_matrix/app/v1/transactions/{txnID}", b.putTransaction)
	mux.HandleFunc("GET /_matrix/app/v1/rooms/{alias}", b.queryAlias)
	b.addThirdParty(mux)
	mux.HandleFunc(ProvisioningPath+"/", b.provision)
	b.addControl(mux)
	mux.HandleFunc("GET "+MediaLinksPath+"/{id}", b.serveFile)
	mux.HandleFunc("GET "+MediaLinksPath+"/{id}/{name}", b.serveFile)
	mux.Handle("/_matrix/provision/", http.NotFoundHandler()) // bridgev2's own, by a secret
	mux.Handle("/", b.conn.AS.Router)
	return mux
}

// queryAlias answers whether an alias of ours exists, after making its room if the network can.
// Application Service API, Querying.
func (b *Bridge) queryAlias(w http.ResponseWriter, r *http.Request) {
	if !b.conn.AS.CheckServerToken(w, r) {
		return
	}
	querier, ok := b.opts.Network.(AliasQuerier)
	if !ok {
		mautrix.MNotFound.WithMessage("This bridge has no aliases").Write(w)
		return
	}
	if err := b.awaitReady(r.Context()); err != nil {
		mautrix.MUnknown.WithMessage("The bridge has not started").WithStatus(http.StatusServiceUnavailable).Write(w)
		return
	}
	alias := id.RoomAlias(r.PathValue("alias"))
	if _, banned := b.policies.current().room(string(alias)); banned {
		mautrix.MNotFound.WithMessage("A policy list of this bridge bans this room").Write(w)
		return
	}
	err := querier.QueryAlias(b.log.WithContext(r.Context()), alias)
	var unknown *UnknownAlias
	switch {
	case errors.As(err, &unknown):
		mautrix.MNotFound.WithMessage("%s", unknown.Reason).Write(w)
	case err != nil:
		b.log.Err(err).Stringer("room_alias", alias).Msg("make the room of an alias")
		mautrix.MUnknown.WithMessage("The room could not be made").Write(w)
	default:
		writeEmpty(w)
	}
}

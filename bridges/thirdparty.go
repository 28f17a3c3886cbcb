package bridges

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Bounds of what is asked about a network, and of what is answered.
const (
	// maxThirdParties is how many places or users one question finds.
	maxThirdParties = 100
	// maxFieldBytes bounds the value of a field, a user ID or an alias.
	maxFieldBytes = 255
	// maxQuestionBytes bounds the fields of a question together, as they are encoded.
	maxQuestionBytes = 4096
)

// ThirdParty is what clients learn of a network before they ask about it. Application Service API, GET
// /_matrix/app/v1/thirdparty/protocol/{protocol}.
type ThirdParty struct {
	Name           string                     `json:"-"` // in the paths of questions, such as "irc"
	UserFields     []string                   `json:"user_fields"`
	LocationFields []string                   `json:"location_fields"`
	Icon           id.ContentURIString        `json:"icon"`
	FieldTypes     map[string]ThirdPartyField `json:"field_types"` // of all fields
	Instances      []ThirdPartyInstance       `json:"instances"`
}

// ThirdPartyField is how a field looks. The whole of a value matches Regexp.
type ThirdPartyField struct {
	Regexp      string `json:"regexp"`
	Placeholder string `json:"placeholder"`
}

// ThirdPartyInstance is one network of a kind. NetworkID is what Host.SetListedOn takes.
type ThirdPartyInstance struct {
	NetworkID string              `json:"network_id"`
	Desc      string              `json:"desc"`
	Icon      id.ContentURIString `json:"icon,omitempty"`
	Fields    map[string]string   `json:"fields"` // those that all on it have in common
}

// ThirdPartyLocation is a place on a network, and the alias of its room.
type ThirdPartyLocation struct {
	Alias  id.RoomAlias
	Fields map[string]string
}

// ThirdPartyUser is somebody on a network, and their ghost, which may not have been made yet.
type ThirdPartyUser struct {
	UserID id.UserID
	Fields map[string]string
}

// thing is a location or a user in an answer.
type thing struct {
	Alias    id.RoomAlias      `json:"alias,omitempty"`
	UserID   id.UserID         `json:"userid,omitempty"`
	Protocol string            `json:"protocol"`
	Fields   map[string]string `json:"fields"`
}

// addThirdParty adds the questions about third-party networks. Application Service API, Third-party networks.
func (b *Bridge) addThirdParty(mux *http.ServeMux) {
	const path = "/_matrix/app/v1/thirdparty/"
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		if b.conn.AS.CheckServerToken(w, r) {
			mautrix.MNotFound.WithMessage("This bridge knows nothing of it").Write(w)
		}
	})
	q, ok := b.opts.Network.(ThirdPartyQuerier)
	if !ok {
		return
	}
	mux.HandleFunc("GET "+path+"protocol/{protocol}", b.question(func(_ context.Context, r *http.Request, about ThirdParty) (any, error) {
		return about, nil
	}))
	mux.HandleFunc("GET "+path+"location/{protocol}", b.question(func(ctx context.Context, r *http.Request, about ThirdParty) (any, error) {
		fields := about.read(r.URL.Query(), about.LocationFields)
		if fields == nil {
			return nil, nil
		}
		found, err := q.FindLocations(ctx, fields)
		return about.locations(found), err
	}))
	mux.HandleFunc("GET "+path+"user/{protocol}", b.question(func(ctx context.Context, r *http.Request, about ThirdParty) (any, error) {
		fields := about.read(r.URL.Query(), about.UserFields)
		if fields == nil {
			return nil, nil
		}
		found, err := q.FindUsers(ctx, fields)
		return about.users(found), err
	}))
	mux.HandleFunc("GET "+path+"location", b.question(func(ctx context.Context, r *http.Request, about ThirdParty) (any, error) {
		alias := id.RoomAlias(r.URL.Query().Get("alias"))
		if len(alias) > maxFieldBytes || !b.reg.ExclusiveAlias(alias) {
			return nil, nil
		}
		found, err := q.LocationsOf(ctx, alias)
		return about.locations(found), err
	}))
	mux.HandleFunc("GET "+path+"user", b.question(func(ctx context.Context, r *http.Request, about ThirdParty) (any, error) {
		user := id.UserID(r.URL.Query().Get("userid"))
		if len(user) > maxFieldBytes || !b.v2.IsGhostMXID(user) {
			return nil, nil
		}
		found, err := q.UsersOf(ctx, user)
		return about.users(found), err
	}))
}

// question is the handler of one kind of question. No answer, or a list without anything in it, is 404.
func (b *Bridge) question(answer func(ctx context.Context, r *http.Request, about ThirdParty) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !b.conn.AS.CheckServerToken(w, r) {
			return
		}
		if err := b.awaitReady(r.Context()); err != nil {
			mautrix.MUnknown.WithMessage("The bridge has not started").WithStatus(http.StatusServiceUnavailable).Write(w)
			return
		}
		about := b.opts.Network.(ThirdPartyQuerier).ThirdParty()
		if name := r.PathValue("protocol"); name != "" && name != about.Name || len(r.URL.RawQuery) > maxQuestionBytes {
			mautrix.MNotFound.WithMessage("This bridge knows nothing of it").Write(w)
			return
		}
		found, err := answer(b.log.WithContext(r.Context()), r, about)
		if things, isList := found.([]thing); err == nil && (found == nil || isList && len(things) == 0) {
			mautrix.MNotFound.WithMessage("There is no such thing on %s", about.Name).Write(w)
			return
		}
		if err != nil {
			b.log.Err(err).Msg("answer what is on the network")
			mautrix.MUnknown.WithMessage("The bridge could not find out").Write(w)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(found)
	}
}

// read takes the named fields out of a question, each once. It is nil when there is none, or one that is not as it has to be.
func (p ThirdParty) read(query url.Values, names []string) map[string]string {
	fields := make(map[string]string)
	for _, name := range names {
		values, given := query[name]
		if !given {
			continue
		}
		if len(values) != 1 || len(values[0]) > maxFieldBytes {
			return nil
		}
		matches, err := regexp.MatchString(`^(?:`+p.FieldTypes[name].Regexp+`)$`, values[0])
		if err != nil || !matches {
			return nil
		}
		fields[name] = values[0]
	}
	if len(fields) == 0 {
		return nil
	}
	return fields
}

func (p ThirdParty) locations(found []ThirdPartyLocation) []thing {
	var all []thing
	for _, l := range found[:min(len(found), maxThirdParties)] {
		all = append(all, thing{Alias: l.Alias, Protocol: p.Name, Fields: orNoFields(l.Fields)})
	}
	return all
}

func (p ThirdParty) users(found []ThirdPartyUser) []thing {
	var all []thing
	for _, u := range found[:min(len(found), maxThirdParties)] {
		all = append(all, thing{UserID: u.UserID, Protocol: p.Name, Fields: orNoFields(u.Fields)})
	}
	return all
}

func orNoFields(fields map[string]string) map[string]string {
	if fields == nil {
		return map[string]string{}
	}
	return fields
}

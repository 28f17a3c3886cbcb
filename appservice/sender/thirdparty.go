package sender

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"causeway/homeserver/event"
)

// Bounds of what services tell of third-party networks.
const (
	maxProtocols   = 200  // of one service that are asked for
	maxInstances   = 500  // of one protocol
	maxFields      = 100  // of one protocol
	maxLocations   = 1000 // that one question finds, of all services
	maxFieldsQuery = 4096 // bytes of a question
)

// protocol is what a service says of a network. Application Service API, GET /_matrix/app/v1/thirdparty/protocol/{protocol}.
type protocol struct {
	UserFields     []string                   `json:"user_fields"`
	LocationFields []string                   `json:"location_fields"`
	Icon           string                     `json:"icon"`
	FieldTypes     map[string]json.RawMessage `json:"field_types"`
	Instances      []instance                 `json:"instances"`
}

type instance struct {
	Desc      string          `json:"desc"`
	Icon      string          `json:"icon,omitempty"`
	Fields    json.RawMessage `json:"fields"`
	NetworkID string          `json:"network_id"`
	// InstanceID is by which clients ask for the rooms that the service lists on this network. The homeserver adds it.
	InstanceID string `json:"instance_id,omitempty"`
}

// Protocols returns what all services say of the networks that they name in their registrations, by network, as GET /thirdparty/protocols
// answers it. Services that say nothing in time, or nothing of use, are left out.
func (s *Sender) Protocols(ctx context.Context) (json.RawMessage, error) {
	var names []string
	for _, c := range s.clients() {
		if c.base == "" {
			continue
		}
		for _, name := range c.reg.Protocols[:min(len(c.reg.Protocols), maxProtocols)] {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	answers := s.lookUpAll(ctx, s.questions(names...))
	all := make(map[string]*protocol, len(names))
	for _, a := range answers {
		if p, err := readProtocol(a); err == nil {
			all[a.protocol] = merge(all[a.protocol], p)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// Protocol returns what the services say of one network. Errors are mautrix.RespError: 404 M_NOT_FOUND when no service serves it, and those of
// QueryAlias when none could be asked.
func (s *Sender) Protocol(ctx context.Context, name string) (json.RawMessage, error) {
	var (
		found   *protocol
		failure error
	)
	for _, a := range s.lookUpAll(ctx, s.questions(name)) {
		p, err := readProtocol(a)
		if err == nil {
			found = merge(found, p)
		} else if !errors.Is(err, errNone) {
			failure = cmp.Or(failure, err)
		}
	}
	switch {
	case found != nil:
		return json.Marshal(found)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case failure != nil:
		return nil, failure
	}
	return nil, respError(http.StatusNotFound, "M_NOT_FOUND", "No application service serves the network %s", clean(name))
}

// questions asks the services that name networks what these are.
func (s *Sender) questions(names ...string) (all []question) {
	for _, c := range s.clients() {
		for _, name := range names {
			if c.base != "" && slices.Contains(c.reg.Protocols, name) {
				all = append(all, question{c, name, "/_matrix/app/v1/thirdparty/protocol/" + url.PathEscape(name), protocolKept})
			}
		}
	}
	return all
}

// readProtocol reads what a service says of a network, and gives its instances their ids.
func readProtocol(a found) (*protocol, error) {
	if a.err != nil {
		return nil, a.err
	}
	p := new(protocol)
	if err := json.Unmarshal(a.body, p); err != nil {
		return nil, badAnswer(a.client)
	}
	if len(p.Instances) > maxInstances || len(p.UserFields) > maxFields || len(p.LocationFields) > maxFields || len(p.FieldTypes) > maxFields {
		return nil, badAnswer(a.client)
	}
	p.UserFields, p.LocationFields = orEmpty(p.UserFields), orEmpty(p.LocationFields)
	for name, kind := range p.FieldTypes {
		var is struct {
			Regexp      *string `json:"regexp"`
			Placeholder *string `json:"placeholder"`
		}
		if json.Unmarshal(kind, &is) != nil || is.Regexp == nil || is.Placeholder == nil {
			delete(p.FieldTypes, name)
		}
	}
	if p.FieldTypes == nil {
		p.FieldTypes = map[string]json.RawMessage{}
	}
	kept := make([]instance, 0, len(p.Instances))
	for _, i := range p.Instances {
		if i.NetworkID == "" {
			continue
		}
		if !isObject(i.Fields) {
			i.Fields = json.RawMessage(`{}`)
		}
		i.InstanceID = a.client.reg.ID + "|" + i.NetworkID
		kept = append(kept, i)
	}
	p.Instances = kept
	return p, nil
}

// merge puts what another service says of a network to what the first does: there may be several of a kind.
func merge(p, more *protocol) *protocol {
	if p == nil {
		return more
	}
	if free := maxInstances - len(p.Instances); free > 0 {
		p.Instances = append(p.Instances, more.Instances[:min(len(more.Instances), free)]...)
	}
	return p
}

// Users returns the users of this server that stand for who is meant on a network; with protocol "", whom a user of this server stands for, by
// the parameter userid. Errors as Protocol's; 404 M_NOT_FOUND when there is nobody.
func (s *Sender) Users(ctx context.Context, protocol string, query url.Values) (json.RawMessage, error) {
	return s.find(ctx, "user", "userid", protocol, query)
}

// Locations is Users for rooms, whose parameter is alias.
func (s *Sender) Locations(ctx context.Context, protocol string, query url.Values) (json.RawMessage, error) {
	return s.find(ctx, "location", "alias", protocol, query)
}

// find asks for things of a kind, which each have an id of this server's.
func (s *Sender) find(ctx context.Context, kind, key, protocol string, query url.Values) (json.RawMessage, error) {
	path := "/_matrix/app/v1/thirdparty/" + kind
	if protocol != "" {
		path += "/" + url.PathEscape(protocol)
	}
	if encoded := query.Encode(); len(encoded) > maxFieldsQuery {
		return nil, respError(http.StatusBadRequest, "M_INVALID_PARAM", "The parameters have more than %d bytes", maxFieldsQuery)
	} else if encoded != "" {
		path += "?" + encoded
	}
	var asked []question
	for _, c := range s.clients() {
		if c.base != "" && len(c.reg.Protocols) > 0 && (protocol == "" || slices.Contains(c.reg.Protocols, protocol)) {
			asked = append(asked, question{c, protocol, path, answerKept})
		}
	}
	all := []json.RawMessage{}
	var failure error
	for _, a := range s.lookUpAll(ctx, asked) {
		things, err := readThings(a, key)
		if err != nil && !errors.Is(err, errNone) {
			failure = cmp.Or(failure, err)
		}
		all = append(all, things...)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case len(all) == 0 && failure != nil:
		return nil, failure
	case len(all) == 0:
		return nil, respError(http.StatusNotFound, "M_NOT_FOUND", "The application services know of no such %s", kind)
	}
	return json.Marshal(all[:min(len(all), maxLocations)])
}

// readThings reads a list of users or locations. Those that lack what a client needs are left out.
func readThings(a found, key string) (all []json.RawMessage, err error) {
	if a.err != nil {
		return nil, a.err
	}
	var things []map[string]json.RawMessage
	if json.Unmarshal(a.body, &things) != nil {
		return nil, badAnswer(a.client)
	}
	for _, thing := range things {
		var name, network string
		if json.Unmarshal(thing[key], &name) != nil || json.Unmarshal(thing["protocol"], &network) != nil || !isObject(thing["fields"]) {
			continue
		}
		if len(name) > event.MaxFieldBytes || !slices.Contains(a.client.reg.Protocols, network) {
			continue
		}
		raw, err := json.Marshal(map[string]any{key: name, "protocol": network, "fields": thing["fields"]})
		if err != nil {
			return nil, err
		}
		all = append(all, raw)
	}
	return all, nil
}

func isObject(raw json.RawMessage) bool { return strings.HasPrefix(string(raw), "{") }

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func badAnswer(c *client) error {
	return respError(http.StatusBadGateway, "M_BAD_STATUS", "Application service %s answered with what is no answer", c.reg.ID)
}

// Package registration holds the registrations of application services: who
// they are, the tokens they and the homeserver know each other by, and the
// namespaces of users, aliases and rooms that they care for or own
// (Application Service API, Registration).
//
// It parses and writes registration files, finds the faults of all of them
// before anything starts, and answers whose a token, a user or an alias is. A
// [Folder] follows the files while the server runs. The homeserver's accounts,
// the application service sender and the command line call it. It talks to
// nobody, and knows neither the name of the server nor its users.
package registration

import (
	"maps"
	"reflect"

	"maunium.net/go/mautrix/id"
)

// Registration is one application service. [Parse] and [Generate] make one. The
// fields are those of the file, by the names in their tags.
type Registration struct {
	ID string `yaml:"id"`
	// URL is the base of requests to the application service: http, https, or
	// unix with the path of a socket. It is "" when the file says null, and the
	// application service then gets no traffic.
	URL     string `yaml:"url"`
	ASToken string `yaml:"as_token"`
	HSToken string `yaml:"hs_token"`
	// SenderLocalpart is the localpart of the user that the application service
	// itself is.
	SenderLocalpart string     `yaml:"sender_localpart"`
	Namespaces      Namespaces `yaml:"namespaces"`
	// RateLimited says whether requests of masqueraded users are rate-limited;
	// the sender never is. A file that does not say means true.
	RateLimited bool     `yaml:"rate_limited"`
	Protocols   []string `yaml:"protocols"`
	// ReceiveEphemeral asks for typing, receipts and presence. Files may also call
	// it de.sorunome.msc2409.push_ephemeral.
	ReceiveEphemeral bool `yaml:"receive_ephemeral"`
	// MSC3202 asks for to-device messages, device lists and key counts.
	MSC3202 bool `yaml:"org.matrix.msc3202"`
	// MSC4190 says that the application service makes devices without logging in.
	MSC4190 bool `yaml:"io.element.msc4190"`

	// File is the name that [Parse] was given, for messages.
	File string `yaml:"-"`
	// BuiltIn says that it was made by the server and not read from a file.
	BuiltIn bool `yaml:"-"`
	// Warnings are what [Parse] and [LoadDir] found odd but not wrong.
	Warnings Faults `yaml:"-"`

	lines map[string]int // of the fields in File, by their path
}

// Namespaces are the three kinds of things that an application service cares for.
type Namespaces struct {
	Users   []Namespace `yaml:"users" json:"users"`
	Aliases []Namespace `yaml:"aliases" json:"aliases"`
	Rooms   []Namespace `yaml:"rooms" json:"rooms"`
}

// Equal tells whether two registrations say the same, wherever they were read.
func (r *Registration) Equal(other *Registration) bool {
	return reflect.DeepEqual(r.settings(), other.settings())
}

// Source is where the registration is from: its file, or "built in".
func (r *Registration) Source() string {
	if r.BuiltIn {
		return "built in"
	}
	return r.File
}

// settings returns a copy that holds only what a file can say.
func (r *Registration) settings() Registration {
	plain := *r
	plain.File, plain.BuiltIn, plain.Warnings, plain.lines = "", false, nil, nil
	plain.Namespaces = Namespaces{bare(r.Namespaces.Users), bare(r.Namespaces.Aliases), bare(r.Namespaces.Rooms)}
	if len(plain.Protocols) == 0 {
		plain.Protocols = nil
	}
	return plain
}

func bare(namespaces []Namespace) []Namespace {
	var plain []Namespace
	for _, n := range namespaces {
		plain = append(plain, Namespace{Regex: n.Regex, Exclusive: n.Exclusive})
	}
	return plain
}

// compiled returns a copy whose namespaces match without compiling anew. Those
// that do not compile match nothing.
func (r *Registration) compiled() *Registration {
	c := *r
	c.lines = maps.Clone(r.lines)
	c.Namespaces = Namespaces{
		compileAll(r.Namespaces.Users), compileAll(r.Namespaces.Aliases), compileAll(r.Namespaces.Rooms),
	}
	return &c
}

// MatchesUser tells whether a user is the application service's sender or lies
// in one of its namespaces of users.
//
// Only users of this server can be (Application Service API, Registration), and
// of the server's name this package knows nothing: the caller has checked that
// the user is local.
func (r *Registration) MatchesUser(user id.UserID) bool {
	return r.isSender(user) || matchesAny(r.Namespaces.Users, string(user), false)
}

// ExclusiveUser tells whether a user of this server is the application service's
// sender or lies in one of its exclusive namespaces.
func (r *Registration) ExclusiveUser(user id.UserID) bool {
	return r.isSender(user) || matchesAny(r.Namespaces.Users, string(user), true)
}

// MatchesAlias tells whether an alias lies in a namespace of aliases.
func (r *Registration) MatchesAlias(alias id.RoomAlias) bool {
	return matchesAny(r.Namespaces.Aliases, string(alias), false)
}

// ExclusiveAlias tells whether an alias lies in an exclusive namespace of aliases.
func (r *Registration) ExclusiveAlias(alias id.RoomAlias) bool {
	return matchesAny(r.Namespaces.Aliases, string(alias), true)
}

// MatchesRoom tells whether a room lies in a namespace of rooms.
func (r *Registration) MatchesRoom(room id.RoomID) bool {
	return matchesAny(r.Namespaces.Rooms, string(room), false)
}

func (r *Registration) isSender(user id.UserID) bool {
	return r.SenderLocalpart != "" && user.Localpart() == r.SenderLocalpart
}

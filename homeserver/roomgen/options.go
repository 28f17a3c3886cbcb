package roomgen

import (
	"errors"
	"fmt"

	"causeway/homeserver/event"
)

// ErrOptions is returned for options that no room can be made from.
var ErrOptions = errors.New("options of no possible room")

// maxServers is how many servers a generated room may have.
const maxServers = 1000

// Options say what room to make. What is left zero is chosen by Generate, as its comment says.
type Options struct {
	Version string // a room version; that of new rooms when empty
	Seed    uint64
	// Servers take part (3), each with UsersPerServer (3) users. About Events (40) events are sent, after the dozen that the room
	// begins with.
	Servers, UsersPerServer, Events int
	// Forks is how often the servers fall apart into groups that do not hear of each other, and merge again (0).
	Forks int
	// Extremities is how many branches the room ends with that no event joins, besides those of DeadBranches; 0 to leave it to chance.
	Extremities int
	// AdditionalCreators is how many creators the room has besides the first, where the version knows such.
	AdditionalCreators int

	Bans              bool // users are banned or kicked, and their servers go on on branches without that
	PowerStruggles    bool // admins demote each other, and each other's friends, at the same time
	BadClocks         bool // origin_server_ts is years off, stands still, or is nonsense
	BadDepths         bool // depth is anything
	Knocks            bool // the join rules ask for knocks, in the versions that know them
	Restricted        bool // the join rules are restricted, in the versions that know them
	ThirdPartyInvites bool // invites to an email address, and their redemption
	Redactions        bool
	DuplicateStates   bool // state events that repeat what the state is already
	DeadBranches      bool // events on an old event that nobody builds on
	StringLevels      bool // power levels spelt as strings, in the versions that take them
	NoPowerLevels     bool // the room begins without m.room.power_levels

	// Rejected keeps the events that their sender's own branch does not allow, with Event.Rejected. Without it they are not sent.
	Rejected bool
	// Flawed adds events that receivers must refuse or redact, one or more of each Flaw.
	Flawed bool

	// SkipSignatures leaves signatures empty, which makes rooms four times as fast. Content hashes are right nevertheless.
	SkipSignatures bool
	// Resolve is used in place of package stateres, when it is not nil.
	Resolve Resolver
}

// Resolver resolves the state of a room that is being made, from two or more sets.
type Resolver func(r *Room, sets []State) (State, error)

// withDefaults returns o with its zeroes filled in, and the version.
func (o Options) withDefaults() (Options, *event.RoomVersion, error) {
	fill := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	fill(&o.Servers, 3)
	fill(&o.UsersPerServer, 3)
	fill(&o.Events, 40)
	if o.Version == "" {
		o.Version = event.DefaultRoomVersion
	}
	if o.Resolve == nil {
		o.Resolve = resolve
	}
	if o.Servers < 0 || o.Servers > maxServers || o.UsersPerServer < 0 || o.Events < 0 {
		return o, nil, fmt.Errorf("%w: %d servers, %d users on each, %d events", ErrOptions, o.Servers, o.UsersPerServer, o.Events)
	}
	v, err := event.LookupVersion(o.Version)
	return o, v, err
}

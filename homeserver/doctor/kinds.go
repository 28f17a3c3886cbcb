package doctor

// Kind names a kind of fault, for machines.
type Kind string

// The kinds of faults.
const (
	KindEngine       Kind = "engine"
	KindCollation    Kind = "collation"
	KindSchema       Kind = "schema"
	KindChores       Kind = "chores"
	KindServer       Kind = "server"
	KindStream       Kind = "stream"
	KindOrphan       Kind = "orphan"
	KindRoom         Kind = "room"
	KindJSON         Kind = "json"
	KindLimits       Kind = "limits"
	KindEventID      Kind = "event_id"
	KindColumns      Kind = "columns"
	KindContentHash  Kind = "content_hash"
	KindSignature    Kind = "signature"
	KindRedaction    Kind = "redaction"
	KindStatus       Kind = "status"
	KindReference    Kind = "reference"
	KindEdges        Kind = "edges"
	KindGaps         Kind = "gaps"
	KindExtremities  Kind = "extremities"
	KindAuthEvents   Kind = "auth_events"
	KindNotAllowed   Kind = "not_allowed"
	KindStateSet     Kind = "state_set"
	KindOrphanSet    Kind = "orphan_state_set"
	KindStateBefore  Kind = "state_before"
	KindStateAfter   Kind = "state_after"
	KindCurrentState Kind = "current_state"
	KindMembership   Kind = "membership"
	KindRoomState    Kind = "room_state"
	KindRelation     Kind = "relation"
)

const (
	adviseBackup = "Put back a copy of the database from before the damage. Where only a few rooms are hit, " +
		"'causeway purge room' takes them out; those who are in them elsewhere can join again."
	adviseReport = "This points to a mistake in the program: please report it with this output."
)

// kinds says of each kind what it means and what can be done.
var kinds = map[Kind]struct{ what, advice string }{
	KindEngine: {"The database engine finds its own files damaged", "Stop the server at once and copy the database files. " +
		"Check the disk; then put back a copy from before the damage. Where only indexes are named, REINDEX mends them."},
	KindCollation: {"Columns are ordered by rules that an upgrade of the operating system can change", "Stop the server. " +
		"For each column: ALTER TABLE … ALTER COLUMN … TYPE text COLLATE \"C\"; then REINDEX DATABASE."},
	KindSchema: {"Tables or indexes are missing", "An index can be made again by the statement in homeserver/store/migrations, " +
		"with the server stopped, unless that finds doubles. Otherwise: " + adviseBackup},
	KindChores:       {"An upgrade of the database has not been finished", "Start the server once: it finishes the upgrade before it serves."},
	KindServer:       {"The database is not this server's", "Check server_name and database in the configuration."},
	KindStream:       {"The counter of positions is wrong", adviseBackup},
	KindOrphan:       {"Rows refer to what is not there", adviseReport},
	KindRoom:         {"Rooms cannot be read", adviseBackup},
	KindJSON:         {"Events cannot be read", adviseBackup},
	KindLimits:       {"Events are larger than events may be", adviseReport},
	KindEventID:      {"Events are not what their ids say: they were changed", adviseBackup},
	KindColumns:      {"Columns of events do not agree with what the events say", adviseBackup},
	KindContentHash:  {"The contents of events were changed after they were signed", adviseBackup},
	KindSignature:    {"Signatures on events are missing or wrong", "If the signing key was replaced, put the old one back. " + adviseBackup},
	KindRedaction:    {"Redactions were not carried out, or are not what they should be", adviseReport},
	KindStatus:       {"Events have a position although they are not in the timeline, or none although they are", adviseReport},
	KindReference:    {"Events refer to others wrongly", adviseReport},
	KindEdges:        {"The order of events is not what the events say", adviseBackup},
	KindGaps:         {"Events with unknown predecessors are not marked, or others are", adviseReport},
	KindExtremities:  {"The tips of rooms are not the events that nothing comes after", adviseBackup},
	KindAuthEvents:   {"The events by which others are allowed are missing or wrong", adviseBackup},
	KindNotAllowed:   {"Events are in rooms although the rules forbid it", adviseReport},
	KindStateSet:     {"Stored states of rooms are damaged", adviseBackup},
	KindOrphanSet:    {"Stored states of rooms are of no use to anything", "They only take space. " + adviseReport},
	KindStateBefore:  {"The state before events does not follow from what came before", adviseBackup},
	KindStateAfter:   {"The state after events does not follow from the state before", adviseBackup},
	KindCurrentState: {"The current state of rooms is wrong", adviseBackup},
	KindMembership:   {"Memberships are not what the members' events say", adviseBackup},
	KindRelation:     {"How events relate to each other is not what they say", adviseReport},
	KindRoomState:    {"The list of the states that a room has had is wrong", adviseBackup},
}

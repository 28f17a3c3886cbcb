package room

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds of what one request reads of the directory.
const (
	defaultDirectoryPage = 100
	maxDirectoryPage     = 500
	maxDirectoryBytes    = 1 << 20 // of names, topics and the like
	maxDirectoryScan     = 5000    // rooms that are looked at
	maxSearchTermBytes   = 256
	maxRoomTypes         = 50
	maxNetworkBytes      = 255
	maxDirectoryToken    = 512 // bytes
)

// Rooms that are asked for at once when many may not be wanted, and those whose state is read at once.
const (
	sievedRooms    = 1000
	describedRooms = 50
)

// DirectoryRequest asks for a page of the room directory.
type DirectoryRequest struct {
	Limit       int64     // rooms; 0 for the default
	Since       string    // a token of another page, "" for the first
	Term        string    // to be found in a room's name, topic or canonical alias
	RoomTypes   []*string // nil pointers for rooms without a type; nil for rooms of all types
	AllNetworks bool      // what application services list, too
	Network     string    // an instance id (see NetworkID): what one application service lists
}

// DirectoryPage is a page of the room directory. Client-Server API, GET /publicRooms.
type DirectoryPage struct {
	Chunk []DirectoryEntry `json:"chunk"`
	Next  string           `json:"next_batch,omitempty"`
	Prev  string           `json:"prev_batch,omitempty"`
	Total int64            `json:"total_room_count_estimate"` // of the directory, whatever is searched for
}

// NetworkID is the instance id of a network of an application service, by which the rooms that it lists are asked for.
func NetworkID(appService, network string) string { return appService + "|" + network }

// Directory returns a page of the room directory: the rooms with the most members first, and those with as many by their ids. A page may
// have fewer rooms than were asked for, even none, when it took much work to find them; the next one goes on from there.
func (s *Service) Directory(ctx context.Context, in DirectoryRequest) (*DirectoryPage, error) {
	scan, err := in.scan()
	if err != nil {
		return nil, err
	}
	page := &DirectoryPage{Chunk: []DirectoryEntry{}}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		if page.Total, err = tx.DirectoryCount(scan.query); err != nil {
			return err
		}
		return scan.run(tx)
	})
	if err != nil {
		return nil, err
	}
	page.Chunk = append(page.Chunk, scan.found...)
	first, last := scan.first, scan.last
	if scan.query.Backwards {
		slices.Reverse(page.Chunk)
		first, last = last, first
	}
	if last != nil && (scan.more || scan.query.Backwards) {
		page.Next = directoryToken('n', last)
	}
	if first != nil && in.Since != "" && (scan.more || !scan.query.Backwards) {
		page.Prev = directoryToken('p', first)
	}
	return page, nil
}

// directoryScan goes through a directory.
type directoryScan struct {
	query  store.DirectoryQuery
	accept func(*DirectoryEntry) bool
	limit  int
	sieved bool // accept may refuse

	entries     []DirectoryEntry // of the rooms that are looked at
	found       []DirectoryEntry
	bytes       int
	first, last *store.DirectoryRoom // that were looked at
	more        bool                 // there are rooms after last
}

// scan checks a request.
func (in *DirectoryRequest) scan() (*directoryScan, error) {
	d := &directoryScan{limit: defaultDirectoryPage}
	switch {
	case in.Limit < 0:
		return nil, matrixError(400, "M_INVALID_PARAM", "limit is below zero")
	case in.AllNetworks && in.Network != "":
		return nil, matrixError(400, "M_INVALID_PARAM", "third_party_instance_id and include_all_networks exclude each other")
	case len(in.Network) > maxNetworkBytes || strings.ContainsRune(in.Network, 0):
		return nil, matrixError(400, "M_INVALID_PARAM", "third_party_instance_id is none")
	case len(in.Term) > maxSearchTermBytes:
		return nil, matrixError(400, "M_INVALID_PARAM", "generic_search_term is longer than %d bytes", maxSearchTermBytes)
	case slices.ContainsFunc(in.RoomTypes, func(t *string) bool { return t != nil && len(*t) > event.MaxFieldBytes }):
		return nil, matrixError(400, "M_INVALID_PARAM", "A type of room_types is longer than %d bytes", event.MaxFieldBytes)
	case len(in.RoomTypes) > maxRoomTypes:
		return nil, matrixError(400, "M_INVALID_PARAM", "room_types has more than %d types", maxRoomTypes)
	}
	if in.Limit > 0 {
		d.limit = int(min(in.Limit, maxDirectoryPage))
	}
	d.query.All, d.query.Network = in.AllNetworks, in.Network
	d.sieve(in)
	if in.Since != "" {
		var err error
		if d.query.From, d.query.Backwards, err = readDirectoryToken(in.Since); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// sieve sets what the database looks for, and what of that is wanted.
func (d *directoryScan) sieve(in *DirectoryRequest) {
	term := strings.ToLower(strings.TrimSpace(in.Term))
	if term != "" {
		d.query.Mentions = append(d.query.Mentions, store.Mention{
			Types: []string{typeName, typeTopic, typeCanonicalAlias}, Texts: []string{term},
		})
	}
	types := make(map[string]bool, len(in.RoomTypes))
	var texts []string
	for _, t := range in.RoomTypes {
		if t == nil || *t == "" {
			types[""] = true
			continue
		}
		types[*t] = true
		texts = append(texts, *t)
	}
	if len(texts) > 0 && !types[""] {
		d.query.Mentions = append(d.query.Mentions, store.Mention{Types: []string{event.TypeCreate}, Texts: texts})
	}
	d.sieved = term != "" || in.RoomTypes != nil
	d.accept = func(e *DirectoryEntry) bool {
		return (in.RoomTypes == nil || types[e.RoomType]) && (term == "" || e.mentions(term))
	}
}

// run looks for rooms until there are enough.
func (d *directoryScan) run(tx *store.Tx) error {
	for scanned := 0; ; {
		// One more than is wanted tells whether there are more.
		d.query.Limit = d.limit - len(d.found) + 1
		if d.sieved {
			d.query.Limit = max(d.query.Limit, sievedRooms)
		}
		rooms, err := tx.DirectoryRooms(d.query)
		if err != nil {
			return err
		}
		for i := range rooms {
			if d.more = scanned == maxDirectoryScan; d.more {
				return nil
			}
			if i%describedRooms == 0 {
				if d.entries, err = directoryEntries(tx, rooms[i:min(i+describedRooms, len(rooms))]); err != nil {
					return err
				}
			}
			scanned++
			if d.more = !d.take(&rooms[i], &d.entries[i%describedRooms]); d.more {
				return nil
			}
		}
		if len(rooms) < d.query.Limit {
			return nil
		}
		d.query.From = d.last
	}
}

// take looks at a room, and is false when it is wanted and the page is full.
func (d *directoryScan) take(r *store.DirectoryRoom, e *DirectoryEntry) bool {
	wanted := d.accept(e)
	if wanted && (len(d.found) == d.limit || d.bytes > maxDirectoryBytes) {
		return false
	}
	if d.first == nil {
		d.first = r
	}
	d.last = r
	if wanted {
		d.found = append(d.found, *e)
		d.bytes += e.size()
	}
	return true
}

// directoryToken names a place in the directory and a direction from it, n or p.
func directoryToken(direction byte, r *store.DirectoryRoom) string {
	raw := append(strconv.AppendInt([]byte{direction}, r.Joined, 10), ' ')
	return base64.RawURLEncoding.EncodeToString(append(raw, r.RoomID...))
}

func readDirectoryToken(token string) (from *store.DirectoryRoom, backwards bool, err error) {
	bad := matrixError(400, "M_INVALID_PARAM", "since is no token of this server")
	if len(token) > maxDirectoryToken {
		return nil, false, bad
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < 2 || raw[0] != 'n' && raw[0] != 'p' {
		return nil, false, bad
	}
	count, roomID, _ := strings.Cut(string(raw[1:]), " ")
	joined, err := strconv.ParseInt(count, 10, 64)
	if err != nil || joined < 0 || !utf8.ValidString(roomID) || strings.ContainsRune(roomID, 0) {
		return nil, false, bad
	}
	return &store.DirectoryRoom{Joined: joined, RoomID: id.RoomID(roomID)}, raw[0] == 'p', nil
}

// Published tells whether a room is in the directory of this server. 404 M_NOT_FOUND.
func (s *Service) Published(ctx context.Context, roomID id.RoomID) (bool, error) {
	var published bool
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		r, err := tx.Room(roomID)
		if errors.Is(err, store.ErrNotFound) {
			return unknownRoom(roomID)
		}
		if err == nil {
			published = r.Published
		}
		return err
	})
	return published, err
}

// Publish puts a room into the directory of this server, or takes it out. Members may who have the power to set the room's canonical
// alias, and administrators of the server. 404 M_NOT_FOUND, 403 M_FORBIDDEN.
func (s *Service) Publish(ctx context.Context, by By, admin bool, roomID id.RoomID, published bool) error {
	if _, err := s.Published(ctx, roomID); err != nil {
		return err
	}
	if !admin {
		may, err := s.maySetState(ctx, roomID, by.User, typeCanonicalAlias)
		if err != nil {
			return err
		}
		if !may {
			return matrixError(403, "M_FORBIDDEN", "You may not change whether %s is in the directory", roomID)
		}
	}
	return s.writeRoom(ctx, roomID, func(tx *store.Tx, nid int64) error { return tx.SetPublished(nid, published) })
}

// PublishOn puts a room into the directory of a network of the application service that by acts for, or takes it out. The user must be
// in the room. 404 M_NOT_FOUND, 403 M_FORBIDDEN. Application Service API, PUT /directory/list/appservice/{networkId}/{roomId}.
func (s *Service) PublishOn(ctx context.Context, by By, network string, roomID id.RoomID, listed bool) error {
	instance := NetworkID(by.AppService, network)
	if network == "" || len(instance) > maxNetworkBytes || strings.ContainsRune(network, 0) {
		return matrixError(400, "M_INVALID_PARAM", "%q is no id of a network", network)
	}
	return s.writeRoom(ctx, roomID, func(tx *store.Tx, nid int64) error {
		if _, err := joinedRoom(tx, roomID, by.User); err != nil {
			return err
		}
		return tx.SetListed(instance, nid, listed)
	})
}

// writeRoom writes what belongs to a room. 404 M_NOT_FOUND.
func (s *Service) writeRoom(ctx context.Context, roomID id.RoomID, write func(tx *store.Tx, nid int64) error) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		nid, err := tx.RoomNID(roomID)
		if err == nil && nid == 0 {
			err = unknownRoom(roomID)
		}
		if err != nil {
			return err
		}
		return write(tx, nid)
	})
}

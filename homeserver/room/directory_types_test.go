package room_test

import (
	"strings"
	"testing"

	"causeway/homeserver/room"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix"
)

// Whatever is searched for is found, not found, or refused as a mistake of the client.
func TestDirectoryOfLongRoomTypes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		x.create("")
		long := strings.Repeat("a", 60_000)
		_, err := x.s.Directory(t.Context(), room.DirectoryRequest{RoomTypes: []*string{&long}})
		if _, refused := err.(mautrix.RespError); err != nil && !refused {
			t.Errorf("got %v", err)
		}
	})
}

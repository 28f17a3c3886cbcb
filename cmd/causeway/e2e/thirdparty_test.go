package e2e

import (
	"net/url"
	"strings"
	"testing"
)

// TestFindOnIRC asks the server, as a client does, what IRC networks there are, which rooms and users stand for what is there, and
// which rooms a network has; the bridge runs in the server's process, and in one of its own.
func TestFindOnIRC(t *testing.T) {
	irc := startNgircd(t)
	for name, more := range map[string]string{"in the process": "", "in its own process": isolated} {
		t.Run(name, func(t *testing.T) {
			c := startServer(t, options{networks: ircNetwork(network, irc.address) + more})
			token := c.registerHTTP(t, "alice")
			type thing struct {
				Alias    string            `json:"alias"`
				UserID   string            `json:"userid"`
				Protocol string            `json:"protocol"`
				Fields   map[string]string `json:"fields"`
			}
			var protocols map[string]struct {
				Fields    []string `json:"location_fields"`
				Instances []struct {
					ID      string `json:"instance_id"`
					Network string `json:"network_id"`
				} `json:"instances"`
			}
			awaitTrue(t, "the bridge", func() bool { // whose process may have begun just now
				c.do(t, "GET", "/_matrix/client/v3/thirdparty/protocols", token, nil).decode(t, &protocols)
				return len(protocols) > 0
			})
			found := protocols["irc"]
			if len(found.Instances) != 1 || found.Instances[0].Network != network || len(found.Fields) != 2 {
				t.Fatalf("got the protocols %v, want irc with %s", protocols, network)
			}
			one := func(path string) thing {
				t.Helper()
				var things []thing
				c.do(t, "GET", "/_matrix/client/v3/thirdparty/"+path, token, nil).decode(t, &things)
				if len(things) != 1 || things[0].Protocol != "irc" || things[0].Fields["network"] != network {
					t.Fatalf("%s: got %v, want one thing of %s", path, things, network)
				}
				return things[0]
			}
			place := one("location/irc?network=" + network + "&channel=%23Find")
			if want := "#irc_" + network + "_#find:" + serverName; place.Alias != want {
				t.Errorf("the room is %s, want %s", place.Alias, want)
			}
			if of := one("location?alias=" + url.QueryEscape(place.Alias)); of.Fields["channel"] != "#find" {
				t.Errorf("the alias is of %v", of.Fields)
			}
			ghost := one("user/irc?network=" + network + "&nickname=Carol")
			if want := "@irc_" + network + "_carol:" + serverName; ghost.UserID != want {
				t.Errorf("the ghost is %s, want %s", ghost.UserID, want)
			}
			if of := one("user?userid=" + url.QueryEscape(ghost.UserID)); of.Fields["nickname"] != "carol" {
				t.Errorf("the ghost is of %v", of.Fields)
			}
			for _, path := range []string{"user/irc?nickname=a%20b", "location/irc?channel=c", "location?alias=%23other:" + serverName} {
				if a := c.do(t, "GET", "/_matrix/client/v3/thirdparty/"+path, token, nil); a.ErrCode != "M_NOT_FOUND" {
					t.Errorf("%s: got %d %s, want M_NOT_FOUND", path, a.status, a.raw)
				}
			}

			// The room of a channel is in the directory of its network when the channel's modes are known.
			mark := c.output.position()
			var room struct {
				RoomID string `json:"room_id"`
			}
			c.do(t, "POST", "/_matrix/client/v3/join/"+url.PathEscape(place.Alias), token, map[string]any{}).decode(t, &room)
			c.output.await(t, mark, "listing of the room", func(line string) bool {
				return strings.Contains(line, "PUT /_matrix/client/v3/directory/list/appservice/{networkId}/{roomId}\" status=200")
			})
			directory := func(ask map[string]any) string {
				t.Helper()
				return string(c.do(t, "POST", "/_matrix/client/v3/publicRooms", token, ask).raw)
			}
			for _, ask := range []map[string]any{{"third_party_instance_id": found.Instances[0].ID}, {"include_all_networks": true}} {
				if rooms := directory(ask); !strings.Contains(rooms, room.RoomID) {
					t.Errorf("%v: got %s, want %s", ask, rooms, room.RoomID)
				}
			}
			if rooms := directory(map[string]any{}); strings.Contains(rooms, room.RoomID) {
				t.Errorf("the server's own directory has the room: %s", rooms)
			}
		})
	}
}

package e2ee

import (
	"context"
	"fmt"
	"testing"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// What a query asks for is looked up by device, and bounded: as many as can be asked for are found, and one more is too many.
func TestQueryOfAsManyAsMayBe(t *testing.T) {
	each(t, func(b *bench) {
		const has = 300
		b.write(func(tx *store.Tx) error {
			nid, err := tx.LookupNID(string(alice.User))
			if err != nil {
				return err
			}
			for i := range has {
				device := id.DeviceID(fmt.Sprint("D", i))
				if err := tx.EnsureDevice(nid, device, "", 1); err != nil {
					return err
				}
				if err := tx.SetDeviceKeys(nid, device, []byte(`{}`)); err != nil {
					return err
				}
			}
			return nil
		})
		devices := func(n int) []id.DeviceID {
			all := make([]id.DeviceID, n)
			for i := range all {
				all[i] = id.DeviceID(fmt.Sprint("D", i+has/2))
			}
			return all
		}
		users := make(map[id.UserID][]id.DeviceID)
		for i := range maxQueriedUsers + 1 {
			users[id.UserID(fmt.Sprintf("@u%d:elsewhere", i))] = nil
		}
		for _, test := range []struct {
			name  string
			asked map[id.UserID][]id.DeviceID
			want  int // devices of alice, -1 for M_TOO_LARGE
		}{
			{"all", map[id.UserID][]id.DeviceID{alice.User: nil}, has},
			{"the same twice", map[id.UserID][]id.DeviceID{alice.User: {"D1", "D1", "NONE"}}, 1},
			{"none that is there", map[id.UserID][]id.DeviceID{alice.User: {"NONE", ""}}, 0},
			{"of another", map[id.UserID][]id.DeviceID{alice.User: {"D1"}, bob.User: {"D2"}}, 1},
			{"as many as may be", map[id.UserID][]id.DeviceID{alice.User: devices(maxQueriedDevices)}, has / 2},
			{"too many devices", map[id.UserID][]id.DeviceID{alice.User: devices(maxQueriedDevices), bob.User: {"B"}}, -1},
			{"too many users", users, -1},
		} {
			got, err := b.s.Query(context.Background(), "", QueryRequest{DeviceKeys: test.asked})
			if test.want < 0 {
				wantCode(t, test.name, err, "M_TOO_LARGE")
				continue
			}
			if n := len(got.DeviceKeys[alice.User]); err != nil || n != test.want {
				t.Errorf("%s: got %d devices, %v; want %d", test.name, n, err, test.want)
			}
		}
	})
}

func BenchmarkQueryDeviceSet(b *testing.B) {
	asked := make([]id.DeviceID, maxQueriedDevices)
	for i := range asked {
		asked[i] = id.DeviceID(fmt.Sprint("D", i))
	}
	for b.Loop() {
		set, found := newDeviceSet(asked), 0
		for i := range 1000 {
			if set.has(id.DeviceID(fmt.Sprint("E", i))) {
				found++
			}
		}
		if found > 0 {
			b.Fatal(found)
		}
	}
}

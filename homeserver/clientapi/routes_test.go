package clientapi_test

import (
	"regexp"
	"strings"
	"testing"

	"causeway/homeserver/clientapi"
	"causeway/homeserver/testserver"
)

var pathParameter = regexp.MustCompile(`\{[^/]*\}`)

// served returns the routes, "METHOD /path" with {} for each parameter.
func served() map[string]bool {
	all := make(map[string]bool)
	for _, route := range new(clientapi.API).Routes() {
		path := strings.NewReplacer("(v3|r0)", "v3", "{$}", "").Replace(route.Path)
		all[route.Method+" "+pathParameter.ReplaceAllString(path, "{}")] = true
	}
	return all
}

// TestRoutesAreThoseOfTheSpecification compares routes.go with the endpoints of version 1.19: each is served, or has a reason to be
// missing that is true.
func TestRoutesAreThoseOfTheSpecification(t *testing.T) {
	served := served()
	endpoints := testserver.Endpoints()
	if len(endpoints) < 160 {
		t.Fatalf("the list has %d endpoints", len(endpoints))
	}
	for _, endpoint := range endpoints {
		have, why := served[pathParameter.ReplaceAllString(endpoint, "{}")], testserver.Pending(endpoint)
		switch {
		case !have && why == "":
			t.Errorf("%s is not served", endpoint)
		case have && why != "":
			t.Errorf("%s is served, and said to await %s", endpoint, why)
		}
	}
}

// oldPaths are what clients call that the specification does not have: proposals by their first names, and one that was merged after version
// 1.19. Parameters have any name.
var oldPaths = []string{
	"POST /_matrix/client/v4/sync", // MSC4186
	"POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
	"POST /_matrix/client/v1/refresh", // MSC2918 had it there
	"POST /_matrix/client/unstable/org.matrix.msc2918/refresh",
	"GET /_matrix/client/unstable/uk.timedout.msc4323/admin/suspend/{}",
	"PUT /_matrix/client/unstable/uk.timedout.msc4323/admin/suspend/{}",
	"GET /_matrix/client/unstable/uk.timedout.msc4323/admin/lock/{}",
	"PUT /_matrix/client/unstable/uk.timedout.msc4323/admin/lock/{}",
	"GET /_matrix/client/unstable/rooms/{}/relations/{}",
	"GET /_matrix/client/unstable/rooms/{}/relations/{}/{}",
	"GET /_matrix/client/unstable/rooms/{}/relations/{}/{}/{}",
	"GET /_matrix/client/unstable/org.matrix.msc3856/rooms/{}/threads",
	"GET /_matrix/client/unstable/org.matrix.msc2946/rooms/{}/hierarchy",
	"GET /_matrix/client/unstable/org.matrix.msc3030/rooms/{}/timestamp_to_event",
	"GET /_matrix/client/unstable/im.nheko.summary/summary/{}",
	"GET /_matrix/client/unstable/im.nheko.summary/rooms/{}/summary",
	"GET /_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms",
	"GET /_matrix/client/unstable/uk.tcpip.msc4133/profile/{}",
	"GET /_matrix/client/unstable/uk.tcpip.msc4133/profile/{}/{}",
	"PUT /_matrix/client/unstable/uk.tcpip.msc4133/profile/{}/{}",
	"DELETE /_matrix/client/unstable/uk.tcpip.msc4133/profile/{}/{}",
	"DELETE /_matrix/client/unstable/org.matrix.msc3391/user/{}/account_data/{}",
	"DELETE /_matrix/client/unstable/org.matrix.msc3391/user/{}/rooms/{}/account_data/{}",
	"PUT /_matrix/client/v3/rooms/{}/delayed_event/{}/{}", // MSC4140
	"GET /_matrix/client/v1/delayed_events",
	"GET /_matrix/client/v1/delayed_events/{}",
	"POST /_matrix/client/v1/delayed_events/{}/{}",
	"PUT /_matrix/client/unstable/org.matrix.msc4140/rooms/{}/delayed_event/{}/{}",
	"GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events",
	"GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}",
	"POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}",
	"POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}/{}",
	"POST /_matrix/client/unstable/com.beeper.backfill/rooms/{}/batch_send",
	"DELETE /_matrix/client/v3/directory/list/appservice/{}/{}",
}

func TestOldPathsAreServed(t *testing.T) {
	served := served()
	for _, path := range oldPaths {
		if !served[path] {
			t.Errorf("%s is not served", path)
		}
	}
}

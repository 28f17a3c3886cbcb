package identityapi_test

import (
	_ "embed"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/identityapi"
)

//go:embed testdata/endpoints.txt
var endpoints string

// free are the endpoints that no rate limit is needed for: they answer from memory what is the same for all.
var free = []string{"GET /versions", "GET /v2", "GET /v2/terms"}

// TestRoutesAreThoseOfTheSpecification compares the table with the list of the Identity Service API.
func TestRoutesAreThoseOfTheSpecification(t *testing.T) {
	served := make(map[string]httpapi.Route)
	for _, route := range new(identityapi.API).Routes() {
		served[route.Method+" "+strings.TrimPrefix(route.Path, "/_matrix/identity")] = route
	}
	n := 0
	for line := range strings.Lines(endpoints) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] == "#" {
			continue
		}
		n++
		name := fields[0] + " " + fields[1]
		route, ok := served[name]
		if !ok {
			t.Errorf("%s is not served", name)
			continue
		}
		if limited := route.Endpoint.Class() != ""; limited == slices.Contains(free, name) {
			t.Errorf("%s: limited is %t", name, limited)
		}
		delete(served, name)
	}
	if n != 23 {
		t.Errorf("the list has %d endpoints", n)
	}
	for name := range served {
		t.Errorf("%s is served, and not in the specification", name)
	}
}

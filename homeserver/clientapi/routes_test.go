package clientapi_test

import (
	"regexp"
	"strings"
	"testing"

	"causeway/homeserver/clientapi"
	"causeway/homeserver/testserver"
)

var pathParameter = regexp.MustCompile(`\{[^/]*\}`)

// TestRoutesAreThoseOfTheSpecification compares routes.go with the endpoints of version 1.19: each is served, or has a reason to be
// missing that is true.
func TestRoutesAreThoseOfTheSpecification(t *testing.T) {
	served := make(map[string]bool)
	for _, route := range new(clientapi.API).Routes() {
		path := strings.NewReplacer("(v3|r0)", "v3", "{$}", "").Replace(route.Path)
		served[route.Method+" "+pathParameter.ReplaceAllString(path, "{}")] = true
	}
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

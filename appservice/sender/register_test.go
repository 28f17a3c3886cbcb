package sender

import (
	"encoding/json"
	"testing"

	"causeway/registration"
)

func register(t testing.TB, appServiceID, namespaces string) *registration.Registration {
	t.Helper()
	reg := &registration.Registration{ID: appServiceID, URL: "http://" + appServiceID + ".invalid", ASToken: "as-" + appServiceID,
		HSToken: "hs-" + appServiceID, SenderLocalpart: appServiceID + "_bot"}
	if err := json.Unmarshal([]byte(namespaces), &reg.Namespaces); err != nil {
		t.Fatal(err)
	}
	return reg
}

func newSet(t testing.TB, all ...*registration.Registration) *registration.Set {
	t.Helper()
	set, err := registration.NewSet(all...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

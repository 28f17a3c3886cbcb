package stateres_test

import (
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/roomgen"
	"causeway/homeserver/stateres"
)

// The create event that a room's id implies is there whatever the states hold: one that holds nothing takes neither the power levels nor
// the join rules away.
func TestImpliedCreateEvent(t *testing.T) {
	room, err := roomgen.Generate(roomgen.Options{Version: "12", Seed: 1, Events: 30, SkipSignatures: true})
	if err != nil {
		t.Fatal(err)
	}
	n := room.Numbered()
	whole := room.Events[len(room.Events)-1].StateAfter
	p := n.Problem(roomgen.State{}, whole)
	got, err := p.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{event.TypeCreate, event.TypePowerLevels, event.TypeJoinRules} {
		if !holds(n, got, want) {
			t.Errorf("%s is lost", want)
		}
	}
}

func holds(n *roomgen.Numbered, set stateres.Set, eventType string) bool {
	for _, id := range set {
		if n.Events[id].PDU.IsStateOf(eventType, "") {
			return true
		}
	}
	return false
}

package focus

import "testing"

// TestPrepare has a token from before a restart be good before the service runs.
func TestPrepare(t *testing.T) {
	w := newWorld()
	w.let(alice, "D", everything)
	enter(t, w.service(), member)
	s := w.service()
	if _, err := s.Admit(t.Context(), mine.alias, mine.identity); err == nil {
		t.Error("she is let in before anybody knows of her")
	}
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if publish, err := s.Admit(t.Context(), mine.alias, mine.identity); err != nil || !publish {
		t.Errorf("got %t, %v, want her to be let in", publish, err)
	}
}

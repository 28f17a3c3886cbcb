package store

import "fmt"

// Outcome is what the push rules of a user make of an event: 0 for nothing. Bits tell what is counted, and what is above them which
// the actions were.
type Outcome int64

// The bits of an Outcome. Nothing is highlighted without a notification.
const (
	Notifies Outcome = 1 << iota
	Highlights
)

// outcomeBits is how many bits come before the list of actions.
const outcomeBits = 2

// The lists of actions that have numbers of their own; those from customActions on are the integers of texts.
const (
	plainActions = iota // what the bits say, and no more
	soundActions
	ringActions
	customActions = 8
)

// knownActions are the actions of the default rules, by their outcomes.
var knownActions = map[Outcome]string{
	Notifies:                             `["notify"]`,
	Notifies | Highlights:                `["notify",{"set_tweak":"highlight"}]`,
	Notifies | soundActions<<outcomeBits: `["notify",{"set_tweak":"sound","value":"default"}]`,
	Notifies | Highlights | soundActions<<outcomeBits: `["notify",{"set_tweak":"sound","value":"default"},{"set_tweak":"highlight"}]`,
	Notifies | ringActions<<outcomeBits:               `["notify",{"set_tweak":"sound","value":"ring"}]`,
}

var knownOutcomes = func() map[string]Outcome {
	m := make(map[string]Outcome, len(knownActions))
	for outcome, actions := range knownActions {
		m[actions] = outcome
	}
	return m
}()

// KnownOutcome returns the outcome of a list of actions, as compact JSON, if it has a number of its own.
func KnownOutcome(actions string) (Outcome, bool) {
	outcome, known := knownOutcomes[actions]
	return outcome, known
}

// Outcome returns the outcome with the given bits and a list of actions, which is kept as text.
func (tx *Tx) Outcome(bits Outcome, actions string) (Outcome, error) {
	nid, err := tx.NID(actions)
	return bits&(Notifies|Highlights) | Outcome(nid+customActions)<<outcomeBits, err
}

// OutcomeActions returns the list of actions of an outcome, as JSON.
func (tx *Tx) OutcomeActions(o Outcome) (string, error) {
	if actions, known := knownActions[o]; known {
		return actions, nil
	}
	nid := o.text()
	if nid == 0 {
		return `[]`, nil
	}
	actions, err := tx.Text(nid)
	if err != nil {
		err = fmt.Errorf("actions of outcome %d: %w", o, err)
	}
	return actions, err
}

// text returns the integer of the text that has the actions, or 0.
func (o Outcome) text() int64 { return max(0, int64(o>>outcomeBits)-customActions) }

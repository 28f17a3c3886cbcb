package bridges

import (
	"encoding/json"
	"errors"
	"strings"

	"maunium.net/go/mautrix/event"
)

// parseContent parses the content of an event into what bridgev2 takes for its type. Of state, somebody's nonsense in one field does not
// hide the others: who joins with a number for a name has joined, and a bridge that does not see it lets them read where nobody sees them.
func parseContent(evt *event.Event) error {
	content := &evt.Content
	whole := content.VeryRaw
	defer func() { content.VeryRaw = whole }()
	var fields map[string]json.RawMessage
	if json.Unmarshal(whole, &fields) != nil {
		return errors.New("the content is not an object")
	}
	if dropAliases(fields) {
		content.VeryRaw, _ = json.Marshal(fields) // of JSON
	}
	err := content.ParseRaw(evt.Type)
	if err == nil || errors.Is(err, event.ErrUnsupportedContentType) {
		return nil
	}
	if evt.StateKey == nil {
		return err
	}
	for name, value := range fields {
		text, _ := json.Marshal(map[string]json.RawMessage{name: value}) // of JSON
		alone := event.Content{VeryRaw: text}
		if alone.ParseRaw(evt.Type) != nil {
			delete(fields, name)
		}
	}
	content.Parsed = nil
	content.VeryRaw, _ = json.Marshal(fields) // of JSON
	return content.ParseRaw(evt.Type)
}

// dropAliases takes out the fields that only encoding/json takes for those whose names they have but for capitals, and reports whether there
// were any. To the homeserver, and to everybody else, "Membership" and "member\u017fhip" are not membership.
func dropAliases(fields map[string]json.RawMessage) (found bool) {
	for name := range fields {
		// A long s is a small letter, and still an s to encoding/json.
		if strings.ReplaceAll(strings.ToLower(name), "\u017f", "s") != name {
			delete(fields, name)
			found = true
		}
	}
	return found
}

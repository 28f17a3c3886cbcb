package usersync

import (
	"bytes"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// eventShape is what a filter makes of the events that it lets pass: which of their fields are sent, and in which format. Client-Server
// API, "Filtering", event_fields and event_format. It concerns the events of rooms; what else there is in an answer stays whole.
type eventShape struct {
	fields     *fieldTree // nil for all
	federation bool
}

// newEventShape returns nil for events as they are.
func newEventShape(fields *[]string, format string) *eventShape {
	s := &eventShape{federation: format == "federation"}
	if fields != nil {
		s.fields = new(fieldTree)
		for _, path := range *fields {
			s.fields.add(path)
		}
	}
	if s.fields == nil && !s.federation {
		return nil
	}
	return s
}

// appendShaped appends an event in the form that the client wants.
func (r *renderer) appendShaped(dst []byte, e *store.Event, form event.ClientForm) []byte {
	if r.shape == nil {
		return e.AppendClient(dst, form)
	}
	from := len(dst)
	if r.shape.federation {
		dst = appendFederation(dst, e, form.Unsigned)
	} else {
		dst = e.AppendClient(dst, form)
	}
	if r.shape.fields == nil {
		return dst
	}
	whole := bytes.Clone(dst[from:])
	return r.shape.fields.appendChosen(dst[:from], whole)
}

// appendFederation appends an event as servers send it to each other, with its id, without which a client could not speak of it, and
// what the server tells of it.
func appendFederation(dst []byte, e *store.Event, unsigned []byte) []byte {
	raw := e.JSON()
	dst = append(dst, raw[:len(raw)-1]...)
	if event.Field(raw, "event_id") == nil { // rooms of version 1 and 2 have it in the event
		dst = appendString(appendKey(dst, "event_id"), e.EventID)
	}
	dst = append(appendKey(dst, "unsigned"), unsigned...)
	return append(dst, '}')
}

// fieldTree is a set of paths of properties, as a tree by property. Appendices, "Dot-separated property paths".
type fieldTree struct {
	whole bool // a path ends here: the value is wanted with all that is in it
	below map[string]*fieldTree
}

// add takes a path in. A backslash keeps a dot or a backslash from its meaning, and stands for itself before anything else.
func (t *fieldTree) add(path string) {
	var name strings.Builder
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\' && i+1 < len(path) && (path[i+1] == '.' || path[i+1] == '\\'):
			i++
			name.WriteByte(path[i])
		case c == '.':
			t = t.child(name.String())
			name.Reset()
		default:
			name.WriteByte(c)
		}
	}
	t.child(name.String()).whole = true
}

func (t *fieldTree) child(name string) *fieldTree {
	next := t.below[name]
	if next == nil {
		next = new(fieldTree)
		if t.below == nil {
			t.below = make(map[string]*fieldTree)
		}
		t.below[name] = next
	}
	return next
}

// appendChosen appends what the tree wants of a JSON object.
func (t *fieldTree) appendChosen(dst, object []byte) []byte {
	dst = append(dst, '{')
	for name, value := range event.Members(object) {
		next := t.below[event.Unescape(name)]
		if next == nil {
			continue
		}
		if !next.whole {
			if value[0] != '{' {
				continue // nothing is below it
			}
			if value = next.appendChosen(nil, value); len(value) == len("{}") {
				continue // nothing of it is wanted
			}
		}
		dst = append(append(appendComma(dst), '"'), name...)
		dst = append(append(dst, `":`...), value...)
	}
	return append(dst, '}')
}

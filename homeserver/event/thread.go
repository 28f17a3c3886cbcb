package event

import "maunium.net/go/mautrix/id"

// MainThread is the thread of the events that are in none. Client-Server API, "Threaded read receipts".
const MainThread = "main"

// maxThreadHops is how many relations are followed to find the thread of an event. Client-Server API, "Threaded read receipts".
const maxThreadHops = 3

// Thread is where an event stands among the threads of its room.
type Thread struct {
	ID string // MainThread, or the event id of the thread's root
	// Root is the root of the thread; of an event in the main timeline, the event that it is about by way of its relations, itself
	// for most: if there is a thread that has this root, the event is shown in it, too.
	Root id.EventID
}

// ThreadOf finds the thread of an event. parent is asked for the events that it relates to, in turn; it returns nil for those that
// are not in the room.
func ThreadOf(p *PDU, parent func(id.EventID) (*PDU, error)) (Thread, error) {
	for hop := 0; ; hop++ {
		relation, related := p.Relation()
		target := relation.Parent
		switch {
		case !related || p.StateKey != nil: // neither a reply nor a state event is in a thread by what it is about
			return Thread{ID: MainThread, Root: p.EventID}, nil
		case relation.Type == RelThread:
			return Thread{ID: string(target), Root: target}, nil
		case hop == maxThreadHops:
			return Thread{ID: MainThread, Root: target}, nil
		}
		next, err := parent(target)
		if err != nil {
			return Thread{}, err
		}
		if next == nil {
			return Thread{ID: MainThread, Root: target}, nil
		}
		p = next
	}
}

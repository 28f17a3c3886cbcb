package bridges

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/event"
)

// Status is how a bridge is doing, in numbers. It names nobody, and holds nothing of what people wrote.
type Status struct {
	// State is that of the whole bridge, such as STARTING, UNCONFIGURED or RUNNING, as bridgev2 has it.
	State string `json:"state"`
	// Logins counts people's logins to the network by state, such as CONNECTED or BAD_CREDENTIALS.
	Logins map[string]int `json:"logins,omitempty"`
	// Delivered and Failed count what people sent since the start: what the network took, and what it never will.
	Delivered int64 `json:"delivered"`
	Failed    int64 `json:"failed"`
	// Reasons count what failed by bridgev2's word for why.
	Reasons map[string]int64 `json:"reasons,omitempty"`
	// FailedTS is when something last failed.
	FailedTS int64 `json:"failed_ts,omitempty"`
	// Waiting counts the events on their way to the network, and Unbridging the rooms that the bridge is leaving.
	Waiting    int `json:"waiting"`
	Unbridging int `json:"unbridging"`
}

// tally gathers what bridgev2 tells.
type tally struct {
	mu     sync.Mutex // guards what follows
	state  string
	logins map[networkid.UserLoginID]status.BridgeState
	Status
}

func newTally() *tally {
	return &tally{state: string(status.StateStarting), logins: map[networkid.UserLoginID]status.BridgeState{},
		Status: Status{Reasons: map[string]int64{}}}
}

// Status returns how the bridge is doing now.
func (b *Bridge) Status() Status {
	t := b.conn.tally
	t.mu.Lock()
	s := t.Status
	s.State, s.Reasons, s.Logins = t.state, maps.Clone(t.Reasons), map[string]int{}
	for _, state := range t.logins {
		s.Logins[string(state.StateEvent)]++
	}
	t.mu.Unlock()
	select {
	case <-b.ready: // bridgev2 says neither that it has started, nor that the first has logged in
		if s.State == string(status.StateStarting) || s.State == string(status.StateUnconfigured) && len(s.Logins) > 0 {
			s.State = string(status.StateRunning)
		}
	default:
	}
	s.Waiting = b.lanes.waiting()
	s.Unbridging = int(b.unbridger.count.Load())
	return s
}

// stateOf is what bridgev2 has last told of a login.
func (t *tally) stateOf(login networkid.UserLoginID) status.BridgeState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.logins[login]
}

// States are the states of logins in a fixed order.
func (s Status) States() []string { return slices.Sorted(maps.Keys(s.Logins)) }

// note counts what became of an event of a person, if it is one that says something.
func (t *tally) note(eventType event.Type, ms *bridgev2.MessageStatus) {
	if _, counts := status.CheckpointTypes[eventType]; !counts {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch ms.Status {
	case event.MessageStatusSuccess:
		t.Delivered++
	case event.MessageStatusFail, event.MessageStatusRetriable:
		t.Failed++
		t.FailedTS = time.Now().UnixMilli()
		t.Reasons[string(ms.ErrorReason)]++
	}
}

// SendMessageStatus implements bridgev2.MatrixConnector.
func (c *matrixConnector) SendMessageStatus(ctx context.Context, ms *bridgev2.MessageStatus, evt *bridgev2.MessageStatusEventInfo) {
	c.tally.note(evt.EventType, ms)
	c.Connector.SendMessageStatus(ctx, noticed(ms, evt.EventType), evt)
}

// untold is said of an event that a network did not take, where its connector has no words for why. The error itself is for the
// log: it can have addresses and tokens in it.
const untold = "the network did not take it"

// noticed has a person be told that what they sent failed. bridgev2 keeps silent about errors that the connector has not made
// a status of, and the connectors of others return most of theirs as they come.
func noticed(ms *bridgev2.MessageStatus, of event.Type) *bridgev2.MessageStatus {
	plain := ms.Status == event.MessageStatusRetriable && ms.ErrorReason == event.MessageStatusGenericError && !ms.IsCertain && !ms.ErrorAsMessage
	if ms.SendNotice || !plain || !slices.Contains([]event.Type{event.EventMessage, event.EventSticker, event.EventReaction, event.EventRedaction}, of) {
		return ms
	}
	told := *ms
	told.SendNotice = true
	if told.Message == "" {
		told.Message = untold
	}
	return &told
}

// SendBridgeStatus implements bridgev2.MatrixConnector.
func (c *matrixConnector) SendBridgeStatus(ctx context.Context, state *status.BridgeState) error {
	c.tally.mu.Lock()
	switch {
	case state.RemoteID == "":
		c.tally.state = string(state.StateEvent)
	case state.StateEvent == status.StateLoggedOut:
		delete(c.tally.logins, state.RemoteID)
	default:
		c.tally.logins[state.RemoteID] = *state
	}
	c.tally.mu.Unlock()
	return c.Connector.SendBridgeStatus(ctx, state)
}

package node

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"causeway/sfu"
)

// roomAnswer is a call as LiveKit describes it.
type roomAnswer struct {
	SID             string `json:"sid"`
	Name            string `json:"name"`
	CreationTime    int64  `json:"creation_time,string"`
	NumParticipants int    `json:"num_participants"`
}

func (r *room) answer(name string) roomAnswer {
	return roomAnswer{SID: r.sid, Name: name, CreationTime: r.created.Unix(), NumParticipants: len(r.here)}
}

// createRoom opens a call, or keeps one open for longer.
func (n *Node) createRoom(in *request) (any, error) {
	if in.Name == "" {
		return nil, errName
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.rooms[in.Name]
	if r == nil {
		if n.isFull() {
			return nil, errTooMany
		}
		r = &room{sid: "RM_" + rand.Text()[:12], created: time.Now(), here: map[string]string{}, revoked: map[string]int64{}}
		n.rooms[in.Name] = r
		n.stir()
	}
	r.departure = seconds(in.DepartureTimeout, departureTimeout)
	if by := time.Now().Add(seconds(in.EmptyTimeout, emptyTimeout)); r.closes.Before(by) {
		r.closes = by
	}
	return r.answer(in.Name), nil
}

// isFull is whether no other call can be opened. The caller holds mu.
func (n *Node) isFull() bool { return len(n.rooms) >= maxOpen || n.running >= maxRooms }

// stir has those who wait for a call look again. The caller holds mu.
func (n *Node) stir() {
	close(n.opened)
	n.opened = make(chan struct{})
}

// seconds is a number of them, or the default for none.
func seconds(s int64, otherwise time.Duration) time.Duration {
	if s <= 0 {
		return otherwise
	}
	return time.Duration(min(s, int64(longestTimeout/time.Second))) * time.Second
}

// deleteRoom ends a call.
func (n *Node) deleteRoom(in *request) (any, error) {
	n.mu.Lock()
	r := n.rooms[in.Room]
	if r != nil && len(r.here) > 0 {
		n.running--
	}
	delete(n.rooms, in.Room)
	n.mu.Unlock()
	if r == nil {
		return nil, errNoRoom
	}
	n.sfu.Close(in.Room)
	return struct{}{}, nil
}

func (n *Node) listRooms(*request) (any, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]roomAnswer, 0, len(n.rooms))
	for name, r := range n.rooms {
		all = append(all, r.answer(name))
	}
	return map[string]any{"rooms": all}, nil
}

// isOpen is whether a call is.
func (n *Node) isOpen(room string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rooms[room] != nil
}

func (n *Node) listParticipants(in *request) (any, error) {
	if !n.isOpen(in.Room) {
		return nil, errNoRoom
	}
	all := []participant{}
	for _, who := range n.sfu.Present(in.Room) {
		all = append(all, participant{SID: who.SID, Identity: who.Identity, State: "ACTIVE"})
	}
	return map[string]any{"participants": all}, nil
}

// removeParticipant puts somebody out, and takes their tokens back, be they there or not.
func (n *Node) removeParticipant(in *request) (any, error) {
	n.mu.Lock()
	r := n.rooms[in.Room]
	if r != nil && in.Identity != "" && in.RevokeTS > 0 && len(r.revoked) < maxRevoked {
		r.revoked[in.Identity] = in.RevokeTS
	}
	n.mu.Unlock()
	if r == nil {
		return nil, errNoRoom
	}
	if !n.sfu.Remove(in.Room, in.Identity) {
		return nil, errNobody
	}
	return struct{}{}, nil
}

func (n *Node) updateParticipant(in *request) (any, error) {
	if in.Permission == nil {
		return nil, errBody
	}
	if !n.isOpen(in.Room) {
		return nil, errNoRoom
	}
	may := sfu.Permission{
		Publish: in.Permission.Publish, Subscribe: in.Permission.Subscribe, Data: in.Permission.Data, Metadata: in.Permission.Metadata,
	}
	if !n.sfu.SetPermission(in.Room, in.Identity, may) {
		return nil, errNobody
	}
	return struct{}{}, nil
}

// ping takes what this node is called and where its server is, and answers which start of the node this is. Two servers cannot share a node: each would
// not know the calls of the other, and end them.
func (n *Node) ping(in *request) (any, error) {
	at, err := url.Parse(in.Webhook)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" || in.Node == "" || in.Server == "" {
		return nil, errName
	}
	n.mu.Lock()
	if other := n.server; other.name != "" && other.name != in.Server && time.Since(other.heard) < serverAway {
		n.mu.Unlock()
		return nil, &fault{http.StatusPreconditionFailed, "failed_precondition", fmt.Sprintf("this node is one of %s", other.name)}
	}
	n.server = server{in.Server, time.Now()}
	if in.Instance == n.instance && !n.complete.Swap(true) {
		n.stir()
	}
	n.mu.Unlock()
	n.tell.to(in.Node, in.Webhook)
	m := n.sfu.Metrics()
	return map[string]any{"instance": n.instance, "rooms": m.Rooms, "participants": m.Participants}, nil
}

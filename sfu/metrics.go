package sfu

import (
	"errors"
	"maps"
	"sync"

	"causeway/sfu/signalling"
	"causeway/sfu/track"

	"github.com/golang-jwt/jwt/v5"
)

// Kinds of tracks.
const (
	KindAudio = "audio"
	KindVideo = "video"
)

// Metrics are what a server does, and has done since its start.
type Metrics struct {
	Rooms, Participants int
	Published           map[string]int // tracks, by kind
	Subscribed          map[string]int // tracks that somebody gets, by kind

	In  map[string]track.Counts // what publishers have sent, by kind
	Out map[string]Sent         // what subscribers were sent, by kind

	Joined  uint64
	Refused map[string]uint64 // by the reason
	Left    map[string]uint64 // likewise
	Quality map[string]int    // participants, by how well they are connected
}

// Sent is what has gone to subscribers.
type Sent struct{ Packets, Bytes, Repeated uint64 }

func (s *Sent) add(o track.DownStats) {
	s.Packets += o.Packets
	s.Bytes += o.Bytes
	s.Repeated += o.Repeated
}

// tally counts what goes through a server. What has ended is kept as a sum, so that no count ever falls.
type tally struct {
	mu      sync.Mutex // guards what follows
	ups     map[*track.Up]bool
	downs   map[*track.Down]bool
	in      map[string]track.Counts // of those that have ended, by kind
	out     map[string]Sent         // likewise
	joined  uint64
	refused map[string]uint64
	left    map[string]uint64
}

func newTally() *tally {
	return &tally{
		ups: map[*track.Up]bool{}, downs: map[*track.Down]bool{},
		in: map[string]track.Counts{KindAudio: {}, KindVideo: {}}, out: map[string]Sent{KindAudio: {}, KindVideo: {}},
		refused: map[string]uint64{}, left: map[string]uint64{},
	}
}

func kindOf(up *track.Up) string {
	if up.Video() {
		return KindVideo
	}
	return KindAudio
}

func (t *tally) up(up *track.Up) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ups[up] = true
}

func (t *tally) upEnded(up *track.Up) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ups[up] {
		delete(t.ups, up)
		t.in[kindOf(up)] = plus(t.in[kindOf(up)], up)
	}
}

func plus(c track.Counts, up *track.Up) track.Counts {
	c.Add(up.Total())
	return c
}

func (t *tally) down(d *track.Down) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.downs[d] = true
}

func (t *tally) downEnded(d *track.Down) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.downs[d] {
		delete(t.downs, d)
		kind := kindOf(d.Up())
		sum := t.out[kind]
		sum.add(d.Stats())
		t.out[kind] = sum
	}
}

func (t *tally) join() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.joined++
}

// notAdmitted is of who has a good access token, and may not come in any more.
type notAdmitted struct{ error }

// Unwrap gives why.
func (e notAdmitted) Unwrap() error { return e.error }

var (
	errJoinRequest = errors.New("what the client says at first cannot be read")
	errGivenUp     = errors.New("the client has given up")
	errNotThere    = errors.New("the client wants to come back, and was not there")
)

// refuse counts somebody who cannot come in.
func (t *tally) refuse(err error) {
	reason := "token"
	switch _, barred := errors.AsType[notAdmitted](err); {
	case barred:
		reason = "access"
	case errors.Is(err, jwt.ErrTokenExpired):
		reason = "expired"
	case errors.Is(err, errJoinRequest):
		reason = "request"
	case errors.Is(err, errGivenUp):
		reason = "given_up"
	case errors.Is(err, errNotThere):
		reason = "resume"
	case errors.Is(err, errOvertaken):
		reason = "overtaken"
	case errors.Is(err, errRoomFull):
		reason = "room_full"
	case errors.Is(err, errTooManyRooms):
		reason = "rooms"
	case errors.Is(err, errTooOften):
		reason = "too_often"
	case errors.Is(err, errStopping):
		reason = "stopping"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused[reason]++
}

// leaveReasons are the names of why participants have gone.
var leaveReasons = map[signalling.DisconnectReason]string{
	signalling.ClientInitiated: "client", signalling.DuplicateIdentity: "duplicate", signalling.ServerShutdown: "shutdown",
	signalling.ParticipantRemoved: "removed", signalling.RoomDeleted: "ended", signalling.StateMismatch: "state", signalling.JoinFailure: "join_failure",
	signalling.SignalClose: "lost", signalling.ConnectionTimeout: "timeout", signalling.MediaFailure: "media",
}

func (t *tally) leave(reason signalling.DisconnectReason) {
	name := leaveReasons[reason]
	if name == "" {
		name = "other"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left[name]++
}

// traffic gives all that was counted.
func (t *tally) traffic() Metrics {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := Metrics{
		Published: map[string]int{KindAudio: 0, KindVideo: 0}, Subscribed: map[string]int{KindAudio: 0, KindVideo: 0},
		In: maps.Clone(t.in), Out: maps.Clone(t.out), Joined: t.joined, Refused: maps.Clone(t.refused), Left: maps.Clone(t.left),
		Quality: map[string]int{},
	}
	for up := range t.ups {
		m.In[kindOf(up)] = plus(m.In[kindOf(up)], up)
	}
	for d := range t.downs {
		kind := kindOf(d.Up())
		m.Subscribed[kind]++
		sum := m.Out[kind]
		sum.add(d.Stats())
		m.Out[kind] = sum
	}
	return m
}

// qualityNames are the names of how well somebody is connected.
var qualityNames = map[signalling.ConnectionQuality]string{
	signalling.QualityLost: "lost", signalling.QualityPoor: "poor", signalling.QualityGood: "good", signalling.QualityExcellent: "excellent",
}

// Metrics tells what the server does. It waits for no participant.
func (s *Server) Metrics() Metrics {
	m := s.tally.traffic()
	for _, name := range qualityNames {
		m.Quality[name] = 0
	}
	for _, r := range s.all() {
		m.Rooms++
		for _, p := range r.everybody() {
			m.Participants++
			q, _ := p.connectionQuality()
			m.Quality[qualityNames[q]]++
		}
		for _, pub := range r.published() {
			kind := KindVideo
			if pub.info.Load().Type == signalling.Audio {
				kind = KindAudio
			}
			m.Published[kind]++
		}
	}
	return m
}

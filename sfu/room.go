package sfu

import (
	"crypto/rand"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"causeway/sfu/signalling"
)

// Room is a call. It knows who is there and what they publish; what each of them gets is the participants' own business.
type Room struct {
	server  *Server
	name    string
	sid     string
	created time.Time

	mu           sync.Mutex                     // guards what follows
	participants map[string]*Participant        // by identity
	present      atomic.Pointer[[]*Participant] // the same; replaced, never changed, so that anyone may read it
	publications []*publication                 // replaced, never changed
	numbered     int                            // how many publications there have been
	departed     []departure                    // of late, the newest last
	speakers     speakers
	ticks        int
	told         counts // what everybody was told last
	uneven       bool   // somebody was told something else since
}

func newRoom(s *Server, name string) *Room {
	return &Room{server: s, name: name, sid: newSID("RM_"), created: time.Now(), participants: map[string]*Participant{}}
}

// newSID makes an identifier, which begins by what it identifies.
func newSID(prefix string) string { return prefix + strings.ToLower(rand.Text()[:12]) }

// departure is that somebody has gone.
type departure struct {
	info *signalling.ParticipantInfo
	at   time.Time
}

// For whom departures are kept, and how many: who resumes may have missed those of the time in which nobody had noticed that signalling was lost,
// and of that in which it was waited for.
const (
	departuresKept = pingTimeout + resumeWithin + 10*time.Second
	maxDepartures  = 512
)

// add brings somebody in, and gives who has to leave for that: who has the same identity, unless they have asked later. What an impatient client has
// given up is not to put out what it has begun since.
func (r *Room) add(p *Participant) (before *Participant, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before = r.participants[p.identity]
	if before == nil && len(r.participants) >= r.server.cfg.Limits.Participants {
		return nil, errRoomFull
	}
	if before != nil && before.order > p.order {
		return nil, errOvertaken
	}
	if before != nil {
		r.withdraw(before)
	}
	r.participants[p.identity] = p
	r.list()
	p.room = r
	return before, nil
}

// withdraw ends all tracks of somebody. The caller holds mu, and has everybody look again.
func (r *Room) withdraw(p *Participant) {
	r.publications = slices.DeleteFunc(slices.Clone(r.publications), func(pub *publication) bool { return pub.owner == p })
}

// replace puts somebody out whose place another one has taken. The others are told before they are told of that one, as clients know participants by
// their identity, and hear no more of who is replaced, however long its media takes to end. It is called before the other one runs.
func (r *Room) replace(before, by *Participant) {
	gone := *before.info.Load()
	gone.Version, gone.State, gone.DisconnectReason, gone.Tracks = math.MaxUint32, signalling.Disconnected, signalling.DuplicateIdentity, nil
	if !before.hidden() {
		r.mu.Lock()
		r.depart(&gone)
		r.mu.Unlock()
		for _, other := range r.everybody() {
			if other.identity != by.identity { // which may be yet another one by now
				other.post(func() { other.tell(&gone) })
			}
		}
	}
	r.reconcile()
	before.Leave(signalling.DuplicateIdentity)
}

// comeBack has somebody resume by another session. Who has asked for one later since is not to get this one.
func (r *Room) comeBack(p *Participant, s *session, join *signalling.JoinRequest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.participants[p.identity] != p:
		return errNotThere // replaced at this moment, and out soon
	case p.order > s.order:
		return errOvertaken
	}
	p.order = s.order
	p.post(func() { // still under mu, so that the last one that is taken is the latest
		s.taken.Store(true)
		p.resume(s, join)
	})
	return nil
}

// remove takes somebody out, and tells the others.
func (r *Room) remove(p *Participant) {
	r.mu.Lock()
	r.withdraw(p)
	if r.participants[p.identity] == p { // else it has been replaced, and the others know
		delete(r.participants, p.identity)
		r.list()
		if info := p.info.Load(); !p.hidden() {
			r.depart(info)
			for _, other := range r.everybody() { // still under mu, so that it is told before who comes by the same identity
				other.post(func() { other.tell(info) })
			}
		}
	}
	empty := len(r.participants) == 0
	r.mu.Unlock()
	r.reconcile()
	if empty {
		r.server.forget(r)
	}
	if left := r.server.cfg.Left; left != nil {
		left(p.presence())
	}
}

// depart records that somebody has gone, for those who resume. The caller holds mu.
func (r *Room) depart(info *signalling.ParticipantInfo) {
	r.departed = append(r.departed, departure{&signalling.ParticipantInfo{
		SID: info.SID, Identity: info.Identity, State: info.State, Version: info.Version, DisconnectReason: info.DisconnectReason,
	}, time.Now()})
	old := max(0, len(r.departed)-maxDepartures)
	for old < len(r.departed) && time.Since(r.departed[old].at) > departuresKept {
		old++
	}
	r.departed = slices.Delete(r.departed, 0, old)
}

// missed gives those who have gone of late, of what a client was told so far: who is back since, of which it was told, too, is left out, as clients
// know participants by their identity.
func (r *Room) missed(told map[string]uint32) []*signalling.ParticipantInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	var infos []*signalling.ParticipantInfo
	for _, d := range r.departed {
		back := r.participants[d.info.Identity]
		if told[d.info.SID] > 0 && (back == nil || told[back.sid] == 0) {
			infos = append(infos, d.info)
		}
	}
	return infos
}

func (r *Room) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.participants) == 0
}

// everybody gives those who are there. What it gives is never changed.
func (r *Room) everybody() []*Participant {
	if all := r.present.Load(); all != nil {
		return *all
	}
	return nil
}

// list makes the list of those who are there; r.mu is held.
func (r *Room) list() {
	all := make([]*Participant, 0, len(r.participants))
	for _, p := range r.participants {
		all = append(all, p)
	}
	r.present.Store(&all)
}

func (r *Room) byIdentity(identity string) *Participant {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.participants[identity]
}

func (r *Room) bySID(sid string) *Participant {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.participants {
		if p.sid == sid {
			return p
		}
	}
	return nil
}

// publish makes a track known, once packets of it come, unless its owner has been replaced.
func (r *Room) publish(pub *publication) {
	r.mu.Lock()
	r.numbered++
	pub.number = r.numbered
	if r.participants[pub.owner.identity] == pub.owner {
		r.publications = append(slices.Clip(r.publications), pub)
	}
	r.mu.Unlock()
	r.reconcile()
}

// unpublish ends a track.
func (r *Room) unpublish(pub *publication) {
	r.mu.Lock()
	r.publications = slices.DeleteFunc(slices.Clone(r.publications), func(other *publication) bool { return other == pub })
	r.mu.Unlock()
	r.reconcile()
}

// published gives the tracks that there are. What it gives is never changed.
func (r *Room) published() []*publication {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.publications
}

// reconcile lets everybody look again at what there is to get.
func (r *Room) reconcile() {
	for _, p := range r.everybody() {
		if !p.looking.Swap(true) { // it looks once for all that has changed
			p.post(func() {
				p.looking.Store(false)
				p.reconcile()
			})
		}
	}
}

// changed tells everybody of a participant that has come or changed, unless it is replaced.
func (r *Room) changed(p *Participant) {
	if now := r.byIdentity(p.identity); now != nil && now != p {
		return
	}
	info := p.info.Load()
	if p.hidden() {
		p.post(func() { p.tell(info) })
		return
	}
	for _, other := range r.everybody() {
		other.post(func() { other.tell(info) })
	}
}

// others gives those that somebody who comes is told of.
func (r *Room) others(than *Participant) []*signalling.ParticipantInfo {
	var infos []*signalling.ParticipantInfo
	for _, p := range r.everybody() {
		if p != than && !p.hidden() {
			if info := p.info.Load(); info.State != signalling.Joining {
				infos = append(infos, info)
			}
		}
	}
	return infos
}

// describe is what somebody is told of the room. Where that is not what everybody was told last, all are told soon.
func (r *Room) describe() *signalling.Room {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.count()
	r.uneven = r.uneven || now != r.told
	return r.description(now)
}

// description is what is told of the room.
func (r *Room) description(c counts) *signalling.Room {
	return &signalling.Room{
		SID: r.sid, Name: r.name, EmptyTimeout: 300, DepartureTimeout: uint32(resumeWithin / time.Second),
		CreationTime: r.created.Unix(), CreationTimeMS: r.created.UnixMilli(),
		EnabledCodecs: enabledCodecs, NumParticipants: c.participants, NumPublishers: c.publishers,
	}
}

// counts are how many are in a room, and how many of them publish something.
type counts struct{ participants, publishers uint32 }

// count counts those who are not hidden. The caller holds mu.
func (r *Room) count() (c counts) {
	for _, p := range r.participants {
		if p.hidden() {
			continue
		}
		c.participants++
		if p.info.Load().IsPublisher {
			c.publishers++
		}
	}
	return c
}

// tellCounts tells everybody how many are in the room, unless they know: once for all who have come and gone since.
func (r *Room) tellCounts() {
	r.mu.Lock()
	now := r.count()
	known := now == r.told && !r.uneven
	r.told, r.uneven = now, false
	r.mu.Unlock()
	if known {
		return
	}
	update := &signalling.SignalResponse{RoomUpdate: &signalling.RoomUpdate{Room: r.description(now)}}
	for _, p := range r.everybody() {
		p.post(func() { p.send(update) })
	}
}

var enabledCodecs = []signalling.Codec{
	{MIME: "audio/opus"}, {MIME: "audio/red"}, {MIME: "video/VP8"}, {MIME: "video/VP9"}, {MIME: "video/H264"}, {MIME: "video/AV1"},
	{MIME: "video/rtx"},
}

// How many ticks lie between what is done now and then.
const (
	speakersEvery = 20  // 400 ms
	downsEvery    = 10  // 200 ms
	countsEvery   = 50  // 1 s
	qualityEvery  = 250 // 5 s
)

// tick does what is to be done now and then.
func (r *Room) tick(at time.Time) {
	r.mu.Lock()
	r.ticks++
	n := r.ticks
	r.mu.Unlock()
	for _, pub := range r.published() {
		pub.tick(at)
	}
	if n%speakersEvery == 0 {
		r.tellSpeakers()
	}
	if n%downsEvery == 0 {
		for _, p := range r.everybody() {
			p.post(p.tick)
		}
	}
	if n%countsEvery == 0 {
		r.tellCounts()
	}
	if n%qualityEvery == 0 {
		for _, p := range r.everybody() {
			p.post(p.tellQuality)
		}
	}
}

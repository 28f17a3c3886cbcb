package sfu

import (
	"maps"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"causeway/sfu/signalling"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	// resumeWithin is how long a participant whose signalling has ended is waited for.
	resumeWithin = 20 * time.Second
	// deadWithin is how long it is waited for when its client seems to have crashed.
	deadWithin = 8 * time.Second
	// mediaWithin is how long a participant may be there by signalling alone.
	mediaWithin = time.Minute
	// maxPosted is how much may wait for a participant's goroutine. Who is that far behind is put out.
	maxPosted = 4096
)

// Participant is somebody in a room. Its fields belong to its goroutine, but for those that are said not to.
type Participant struct {
	server   *Server
	room     *Room  // set once
	order    uint64 // that of its latest session; guarded by the room's mu
	identity string
	sid      string
	joined   time.Time
	log      zerolog.Logger
	v1       bool // one peer connection for both directions, for which the client makes all offers

	// info is what others are told: a new one each time, never changed. Anyone may read it.
	info atomic.Pointer[signalling.ParticipantInfo]
	may  atomic.Pointer[Permission]
	up   atomic.Bool // media is connected
	// looking is whether it is to look at what there is to get.
	looking atomic.Bool
	// allowed is who may have its tracks; nil for everybody.
	allowed atomic.Pointer[allowance]

	mail mailbox
	dead chan struct{} // closed when the participant has gone

	settings signalling.ConnectionSettings
	client   signalling.ClientInfo
	session  *session // nil while signalling is away
	away     time.Time
	silent   bool              // signalling has not ended, but nothing came by it any more
	told     map[string]uint32 // the version of each participant that the client knows, by SID
	publisher,
	subscriber *peer // the same in v1
	pending       []*publication          // announced, of which no packet has come
	mine          map[string]*publication // by SID
	subscriptions map[string]*subscription
	wishes        map[string]bool // whether a track is wanted, by SID, where the client has said so
	takes         takes
	qualities     qualities
	data          channels
	score         score
	share         share
	out           atomic.Pointer[transport] // of the peer that gets tracks; anyone may read it
	gone          bool
	grant         Grant
	refreshed     time.Time // when another access token was given last
	required      bool      // v1: the client was asked for another offer, and has not made it
	telling       *rate.Limiter
	untold        bool // something has changed of which others are to be told
}

// mailbox is what waits for a participant's goroutine.
type mailbox struct {
	mu     sync.Mutex // guards what follows
	posted []func()
	closed bool
	bell   chan struct{}
}

// post has f run by the participant's goroutine, and is false when that has ended.
func (p *Participant) post(f func()) bool {
	p.mail.mu.Lock()
	if p.mail.closed {
		p.mail.mu.Unlock()
		return false
	}
	over := len(p.mail.posted) >= maxPosted
	if over {
		p.mail.posted = append(p.mail.posted[:0], func() { p.leave(signalling.StateMismatch) })
	} else {
		p.mail.posted = append(p.mail.posted, f)
	}
	p.mail.mu.Unlock()
	select {
	case p.mail.bell <- struct{}{}:
	default:
	}
	return true
}

// run runs what is posted until the participant has gone.
func (p *Participant) run() {
	defer p.server.sessions.Done()
	for range p.mail.bell {
		p.mail.mu.Lock()
		posted := p.mail.posted
		p.mail.posted = nil
		p.mail.mu.Unlock()
		for _, f := range posted {
			if p.gone {
				break
			}
			p.guard(f)
		}
		if p.gone {
			p.mail.mu.Lock()
			p.mail.closed, p.mail.posted = true, nil
			p.mail.mu.Unlock()
			return
		}
	}
}

// guard runs f. What goes wrong in it ends this participant, and no other.
func (p *Participant) guard(f func()) {
	defer func() {
		if fault := recover(); fault != nil {
			p.failed(fault)
			if !p.gone {
				p.guard(func() { p.leave(signalling.StateMismatch) })
			}
		}
	}()
	f()
}

// failed tells the log of a panic.
func (p *Participant) failed(fault any) {
	p.log.Error().Interface("panic", fault).Str("stack", string(debug.Stack())).Msg("A participant of a call has failed")
}

// contain is guard for what runs elsewhere, such as what takes the participant's packets.
func (p *Participant) contain(f func()) {
	defer p.contained()
	f()
}

// contained is deferred by what is of a participant, and runs elsewhere.
func (p *Participant) contained() {
	if fault := recover(); fault != nil {
		p.failed(fault)
		p.Leave(signalling.StateMismatch)
	}
}

// newParticipant makes somebody of what their token and their first message say.
func (s *Server) newParticipant(g Grant, join *signalling.JoinRequest, v1 bool) *Participant {
	p := &Participant{
		server: s, grant: g, identity: g.Identity, sid: newSID("PA_"), joined: time.Now(), v1: v1,
		told: map[string]uint32{}, mine: map[string]*publication{}, subscriptions: map[string]*subscription{}, wishes: map[string]bool{},
		takes: takes{}, mail: mailbox{bell: make(chan struct{}, 1)}, dead: make(chan struct{}), telling: rate.NewLimiter(changesTold, changesBurst),
	}
	p.log = s.cfg.Log.With().Str("participant", p.sid).Logger()
	if join.ConnectionSettings != nil {
		p.settings = *join.ConnectionSettings
	}
	if join.ClientInfo != nil {
		p.client = *join.ClientInfo
	}
	p.may.Store(&g.Permission)
	attributes := maps.Clone(g.Attributes)
	metadata := g.Metadata
	if g.Permission.Metadata {
		if join.Metadata != "" {
			metadata = join.Metadata
		}
		if len(join.ParticipantAttributes) > 0 && attributes == nil {
			attributes = map[string]string{}
		}
		maps.Copy(attributes, join.ParticipantAttributes)
	}
	p.info.Store(&signalling.ParticipantInfo{
		SID: p.sid, Identity: g.Identity, Name: g.Name, Metadata: metadata, Attributes: attributes, State: signalling.Joining,
		JoinedAt: p.joined.Unix(), JoinedAtMS: p.joined.UnixMilli(), Version: 1, Permission: g.Permission.info(),
		ClientProtocol: p.client.ClientProtocol,
	})
	return p
}

func (p *Participant) presence() Presence {
	return Presence{Room: p.room.name, Identity: p.identity, SID: p.sid}
}

func (p *Participant) hidden() bool { return p.may.Load().Hidden }

// change makes another version of what others are told, and tells them: at once, or with the next tick where it changes all the time.
func (p *Participant) change(f func(*signalling.ParticipantInfo)) {
	info := *p.info.Load()
	info.Version++
	f(&info)
	p.info.Store(&info)
	p.untold = true
	p.tellOthers()
}

// How often others are told of what changes, in a second, and at once: each time it is a message for each of them, which costs who makes it
// change nothing.
const changesTold, changesBurst = 5, 50

// tellOthers tells others what has changed, if there is something, and it may be told now.
func (p *Participant) tellOthers() {
	if p.untold && p.telling.Allow() {
		p.untold = false
		p.room.changed(p)
	}
}

// retrack tells others which tracks the participant publishes.
func (p *Participant) retrack() {
	p.change(func(i *signalling.ParticipantInfo) {
		i.Tracks = nil
		for _, pub := range p.mine {
			i.Tracks = append(i.Tracks, pub.info.Load())
		}
		for _, pub := range p.pending {
			if info := pub.info.Load(); info.Muted {
				i.Tracks = append(i.Tracks, info)
			}
		}
		i.IsPublisher = len(i.Tracks) > 0
	})
}

// tell tells the client of a participant, unless it knows.
func (p *Participant) tell(infos ...*signalling.ParticipantInfo) {
	var news []*signalling.ParticipantInfo
	for _, info := range infos {
		if p.told[info.SID] >= info.Version {
			continue
		}
		p.told[info.SID] = info.Version
		news = append(news, info)
	}
	if len(news) > 0 {
		p.send(&signalling.SignalResponse{Update: &signalling.ParticipantUpdate{Participants: news}})
	}
}

// send sends a message to the client, if it is there.
func (p *Participant) send(m *signalling.SignalResponse) {
	if p.session != nil {
		p.session.send(m)
	}
}

// Leave puts the participant out.
func (p *Participant) Leave(reason signalling.DisconnectReason) {
	p.post(func() { p.leave(reason) })
}

// leave ends the participant: the client is told why, and others that it has gone.
func (p *Participant) leave(reason signalling.DisconnectReason) {
	if p.gone {
		return
	}
	p.gone = true
	p.server.tally.leave(reason)
	if reason != signalling.ClientInitiated {
		p.send(&signalling.SignalResponse{Leave: &signalling.LeaveRequest{
			Reason: reason, Action: actionFor(reason), CanReconnect: actionFor(reason) != signalling.Disconnect,
		}})
	}
	if p.session != nil {
		p.session.finish()
		p.session = nil
	}
	close(p.dead)
	info := *p.info.Load()
	info.Version++
	info.State, info.DisconnectReason, info.Tracks = signalling.Disconnected, reason, nil
	p.info.Store(&info)
	defer p.room.remove(p) // whatever goes wrong with its media
	p.closeMedia()
	p.log.Debug().Int32("reason", int32(reason)).Msg("Left a call")
}

// actionFor is what a client does that is put out for a reason.
func actionFor(reason signalling.DisconnectReason) signalling.LeaveAction {
	switch reason {
	case signalling.ServerShutdown, signalling.StateMismatch, signalling.MediaFailure, signalling.ConnectionTimeout:
		return signalling.Reconnect
	}
	return signalling.Disconnect
}

// tick looks after what waits. It is called five times a second.
func (p *Participant) tick() {
	at := time.Now()
	if p.session != nil && at.Sub(p.session.heard()) > pingTimeout {
		p.log.Debug().Msg("Signalling is silent")
		p.session.finish()
		p.lostSession(p.session)
		p.silent = true
	}
	if at.Sub(p.joined) > mediaWithin && p.info.Load().State != signalling.Active {
		p.log.Debug().Msg("Media has not connected")
		p.leave(signalling.ConnectionTimeout)
		return
	}
	if p.session == nil && at.Sub(p.away) > p.patience() {
		p.leave(signalling.SignalClose)
		return
	}
	for _, s := range p.subscriptions {
		if s.down != nil {
			s.down.Tick()
		}
	}
	p.tellOthers()
	p.allocate()
	p.probe()
	p.report(at)
	p.refresh(at, false)
}

// patience is how long the participant is waited for, from when we know that its signalling is away.
//
// Of a client that has crashed, the kernel closes the WebSocket at once, and media ends within iceDisconnected: its membership is to end within
// seconds. A client that has lost its network cannot close anything: its WebSocket is silent, and that its media has ended as well says nothing
// more. It was heard last some seconds before, which pingTimeout has outlasted: whenever it is back within resumeWithin of the loss, it resumes. That
// a whole machine has crashed looks the same, and takes as long.
func (p *Participant) patience() time.Duration {
	if p.silent || p.alive() {
		return resumeWithin
	}
	return deadWithin
}

// alive is whether the participant's media is connected.
func (p *Participant) alive() bool {
	return p.publisher.connected() || p.subscriber.connected()
}

// lostSession is called when signalling has ended without a goodbye.
func (p *Participant) lostSession(s *session) {
	if p.session == s {
		p.session, p.away, p.silent = nil, time.Now(), false
	}
}

func (p *Participant) closeMedia() {
	for _, s := range p.subscriptions {
		s.close()
	}
	clear(p.subscriptions)
	for _, pub := range p.mine {
		pub.close()
	}
	clear(p.mine)
	p.pending = nil
	p.publisher.close()
	if p.subscriber != p.publisher {
		p.subscriber.close()
	}
}

package sfu

import (
	"slices"
	"sync"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/webrtc/v4"
	"golang.org/x/time/rate"
)

// Labels of data channels.
const (
	labelReliable = "_reliable"
	labelLossy    = "_lossy"
)

// What goes over data channels.
const (
	// maxDataPacket is how long a packet of a client may be, in bytes: as long as livekit-client makes them (DEFAULT_MAX_MESSAGE_SIZE), so that with what
	// is said of its sender it is not longer than every client takes. Our descriptions say so (RFC 8841, section 6), and browsers refuse to send more.
	maxDataPacket = 64_000
	maxBuffered   = 2 << 20 // bytes that wait for a participant; what is more is dropped if it may be, else it is put out
	// What is kept of a publisher's reliable packets for those who resume: so many, and so many bytes.
	maxReliableLog, maxReliableBytes = 256, 1 << 20
	// What is kept of reliable packets for a participant whose channel is not open yet: so many, and so many bytes.
	maxEarly, maxEarlyBytes = 64, 256 << 10
	// maxChannels is how many channels a client may open: pion has a buffer of 64 kB for each. Clients open three.
	maxChannels = 16
	// What one participant may send: packets and bytes in a second, and at once. What is more waits, and holds up the participant's own
	// channels only.
	dataPackets, dataPacketsBurst = 300, 600
	dataBytes, dataBytesBurst     = 2 << 20, 4 << 20
)

// channels are a participant's data channels. Its methods may be called from anywhere.
type channels struct {
	mu       sync.Mutex // guards what follows
	out      map[string]*webrtc.DataChannel
	sequence uint32 // of the last reliable packet that came
	last     []keptPacket
	kept     int // bytes of last
	opened   int // channels, by the client
	// early is reliable packets of before the channel was open, which go out first, and earlySize their bytes.
	early     [][]byte
	earlySize int
	ready     bool // the channel for reliable packets has been open
	packets   *rate.Limiter
	bytes     *rate.Limiter
}

// keptPacket is a packet for those who resume, with its size in bytes.
type keptPacket struct {
	*signalling.DataPacket
	size int
	came time.Time
}

// slow waits until the participant may send a packet of a size; it is false when the participant has gone meanwhile.
func (c *channels) slow(dead <-chan struct{}, size int) bool {
	c.mu.Lock()
	if c.packets == nil {
		c.packets = rate.NewLimiter(dataPackets, dataPacketsBurst)
		c.bytes = rate.NewLimiter(dataBytes, dataBytesBurst)
	}
	wait := max(c.packets.Reserve().Delay(), c.bytes.ReserveN(time.Now(), size).Delay())
	c.mu.Unlock()
	if wait == 0 {
		return true
	}
	select {
	case <-time.After(wait):
		return true
	case <-dead:
		return false
	}
}

// open makes the channels by which a client of v0 gets packets.
func (c *channels) open(p *Participant, pc *webrtc.PeerConnection) error {
	ordered, none := true, uint16(0)
	unordered := false
	for label, options := range map[string]*webrtc.DataChannelInit{
		labelReliable: {Ordered: &ordered},
		labelLossy:    {Ordered: &unordered, MaxRetransmits: &none},
	} {
		d, err := pc.CreateDataChannel(label, options)
		if err != nil {
			return err
		}
		c.listen(p, d, true)
	}
	return nil
}

// take takes a channel that a client has opened: in v1 packets go both ways in it.
func (c *channels) take(p *Participant, d *webrtc.DataChannel) {
	c.mu.Lock()
	c.opened++
	over := c.opened > maxChannels
	c.mu.Unlock()
	if over {
		p.Leave(signalling.StateMismatch)
		return
	}
	if d.Label() != labelReliable && d.Label() != labelLossy {
		return
	}
	c.listen(p, d, p.v1)
}

func (c *channels) listen(p *Participant, d *webrtc.DataChannel, out bool) {
	if out {
		c.mu.Lock()
		if c.out == nil {
			c.out = map[string]*webrtc.DataChannel{}
		}
		c.out[d.Label()] = d
		c.mu.Unlock()
		if d.Label() == labelReliable {
			d.OnOpen(func() { c.begin(d) })
		}
	}
	kind := signalling.Reliable
	if d.Label() == labelLossy {
		kind = signalling.Lossy
	}
	d.OnMessage(func(m webrtc.DataChannelMessage) { p.contain(func() { p.relay(kind, m.Data) }) })
}

// relay hands a packet on to those that it is for. It is called by the connection's goroutine, so that order is kept. Who sends a longer one than they were
// told that they may is put out.
func (p *Participant) relay(kind signalling.DataKind, b []byte) {
	if len(b) > maxDataPacket {
		p.log.Debug().Int("bytes", len(b)).Msg("A data packet is too long")
		p.Leave(signalling.StateMismatch)
		return
	}
	if !p.may.Load().Data || !p.data.slow(p.dead, len(b)) {
		return
	}
	var packet signalling.DataPacket
	if err := signalling.Unmarshal(b, &packet); err != nil {
		p.log.Debug().Err(err).Msg("A data packet cannot be read")
		return
	}
	if packet.TellsSpeakers() {
		return // who speaks is said by us alone
	}
	packet.Kind, packet.ParticipantSID, packet.ParticipantIdentity = kind, p.sid, p.identity
	if u := packet.User; u != nil {
		u.ParticipantSID, u.ParticipantIdentity = p.sid, p.identity
		if len(packet.DestinationIdentities) == 0 {
			packet.DestinationIdentities = u.DestinationIdentities
		}
	}
	if kind == signalling.Reliable && !p.data.keep(&packet, len(b)) {
		return
	}
	out := signalling.Marshal(&packet)
	for _, other := range p.room.everybody() {
		if other != p && isFor(&packet, other) {
			other.data.send(other, kind, out)
		}
	}
}

// isFor is whether a packet is for somebody: for all, where it names nobody.
func isFor(packet *signalling.DataPacket, p *Participant) bool {
	if u := packet.User; u != nil && slices.Contains(u.DestinationSIDs, p.sid) {
		return true
	}
	if u := packet.User; u != nil && len(u.DestinationSIDs) > 0 && len(packet.DestinationIdentities) == 0 {
		return false
	}
	return len(packet.DestinationIdentities) == 0 || slices.Contains(packet.DestinationIdentities, p.identity)
}

// keep counts a reliable packet of the participant, of a size in bytes, and keeps it for those who resume. It is false for one that came before: clients that
// resume send again what they do not know to have arrived.
func (c *channels) keep(packet *signalling.DataPacket, size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if packet.Sequence != 0 {
		if packet.Sequence <= c.sequence {
			return false
		}
		c.sequence = packet.Sequence
	}
	c.last = append(c.last, keptPacket{packet, size, time.Now()})
	c.kept += size
	for len(c.last) > maxReliableLog || c.kept > maxReliableBytes {
		c.kept -= c.last[0].size
		c.last = slices.Delete(c.last, 0, 1)
	}
	return true
}

func (c *channels) lastSequence() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sequence
}

// begin sends what was said to a participant before its channel was open.
func (c *channels) begin(d *webrtc.DataChannel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.early {
		_ = d.Send(b) // if it fails, so does the channel
	}
	c.early, c.earlySize, c.ready = nil, 0, true
}

// hold keeps a reliable packet until the channel is open, and tells whether there was a place for it. c.mu is held.
func (c *channels) hold(b []byte) bool {
	if len(c.early) >= maxEarly || c.earlySize+len(b) > maxEarlyBytes {
		return false
	}
	c.early = append(c.early, b)
	c.earlySize += len(b)
	return true
}

// send sends a packet to the participant, and tells whether it was, or will be when its channel is open. A lossy one is left out when too much waits;
// who is that far behind with reliable ones is put out.
func (c *channels) send(p *Participant, kind signalling.DataKind, b []byte) bool {
	label := labelReliable
	if kind == signalling.Lossy {
		label = labelLossy
	}
	c.mu.Lock()
	if kind == signalling.Reliable && !c.ready {
		defer c.mu.Unlock()
		return c.hold(b)
	}
	d := c.out[label]
	c.mu.Unlock()
	if d == nil || d.ReadyState() != webrtc.DataChannelStateOpen {
		return false
	}
	if d.BufferedAmount() > maxBuffered {
		if kind == signalling.Reliable {
			p.Leave(signalling.StateMismatch)
		}
		return false
	}
	return d.Send(b) == nil
}

// resend sends again what a participant that resumes has missed.
func (c *channels) resend(p *Participant, states []signalling.DataChannelReceiveState) {
	done := map[*Participant]bool{}
	for _, s := range states[:min(len(states), p.server.cfg.Limits.Participants)] {
		publisher := p.room.bySID(s.PublisherSID)
		if publisher == nil || done[publisher] {
			continue
		}
		done[publisher] = true
		for _, packet := range publisher.data.since(s.LastSeq, p.joined) {
			if isFor(packet, p) && !c.send(p, signalling.Reliable, signalling.Marshal(packet)) {
				return
			}
		}
	}
}

// since gives the reliable packets after a number, and of after a time, as far as they are kept.
func (c *channels) since(sequence uint32, at time.Time) []*signalling.DataPacket {
	c.mu.Lock()
	defer c.mu.Unlock()
	var packets []*signalling.DataPacket
	for _, p := range c.last {
		if p.Sequence > sequence && p.came.After(at) {
			packets = append(packets, p.DataPacket)
		}
	}
	return packets
}

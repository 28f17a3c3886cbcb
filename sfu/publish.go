package sfu

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"causeway/sfu/signalling"
	"causeway/sfu/track"

	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// publication is a track that a participant has announced. Its owner's goroutine changes it; what is atomic may be read by anyone.
type publication struct {
	owner *Participant
	sid   string
	cid   string
	mids  []string
	extra []signalling.SimulcastCodec

	number int // in the order in which tracks are published in a room; set before others know it

	info atomic.Pointer[signalling.TrackInfo] // a new one each time, never changed
	ups  atomic.Pointer[[]*track.Up]          // in the order in which their codecs have come
	came atomic.Pointer[arrivals]             // of the connection by which they come

	someone atomic.Bool // has got it
	looking atomic.Bool // the owner is to look at who wants which layers

	heard  bool   // the publisher was told that somebody has got it
	wanted string // the layers that the publisher was told of, as a message
}

func (pub *publication) allUps() []*track.Up {
	if ups := pub.ups.Load(); ups != nil {
		return *ups
	}
	return nil
}

// tick asks for what is missing, and tells what has come. It is called by the server's goroutine.
func (pub *publication) tick(at time.Time) {
	defer pub.owner.contained()
	if came := pub.came.Load(); came != nil {
		came.tick(at)
	}
	for _, up := range pub.allUps() {
		up.Tick()
	}
}

func (pub *publication) close() {
	for _, up := range pub.allUps() {
		pub.owner.server.tally.upEnded(up)
		up.Close()
	}
}

// change makes another version of what others are told.
func (pub *publication) change(f func(*signalling.TrackInfo)) {
	info := *pub.info.Load()
	f(&info)
	pub.info.Store(&info)
}

// addTrack takes the announcement of a track.
func (p *Participant) addTrack(a *signalling.AddTrackRequest) {
	if reason, message := p.refusal(a); reason != signalling.RequestOK {
		p.send(&signalling.SignalResponse{RequestResponse: &signalling.RequestResponse{
			Reason: reason, Message: message, AddTrack: a,
		}})
		return
	}
	if pub := p.mine[a.SID]; pub != nil { // another codec of a track that there is
		pub.extra = append(pub.extra, a.SimulcastCodecs...)
		p.send(&signalling.SignalResponse{TrackPublished: &signalling.TrackPublished{CID: a.CID, Track: pub.info.Load()}})
		return
	}
	pub := &publication{owner: p, cid: a.CID, extra: a.SimulcastCodecs, sid: newSID(sidPrefix(a))}
	pub.info.Store(trackInfo(pub.sid, a))
	p.pending = append(p.pending, pub)
	p.send(&signalling.SignalResponse{TrackPublished: &signalling.TrackPublished{CID: a.CID, Track: pub.info.Load()}})
	if a.Muted {
		p.retrack()
	}
}

// refusal is why a track may not be published.
func (p *Participant) refusal(a *signalling.AddTrackRequest) (signalling.RequestReason, string) {
	switch {
	case !p.may.Load().may(a.Source):
		return signalling.RequestNotAllowed, "You may not publish this"
	case a.CID == "" && len(a.SimulcastCodecs) == 0:
		return signalling.RequestInvalid, "A track needs a cid"
	case a.Type != signalling.Audio && a.Type != signalling.Video:
		return signalling.RequestUnsupportedType, "Only sound and pictures can be published"
	case len(a.Name) > maxName || len(a.CID) > maxName || len(a.Stream) > maxName || len(a.Layers) > 8 || len(a.SimulcastCodecs) > maxCodecs ||
		len(signalling.Marshal(a)) > maxAnnouncement:
		return signalling.RequestLimitExceeded, "The announcement of the track is too long"
	}
	pub := p.mine[a.SID]
	switch {
	case a.SID != "" && pub == nil:
		return signalling.RequestNotFound, "You publish no such track"
	case pub != nil && len(pub.extra)+len(a.SimulcastCodecs) > maxCodecs:
		return signalling.RequestLimitExceeded, "The track has too many codecs"
	case pub == nil && len(p.pending)+len(p.mine) >= p.server.cfg.Limits.Tracks:
		return signalling.RequestLimitExceeded, "You publish too many tracks"
	}
	return signalling.RequestOK, ""
}

const (
	// maxAnnouncement bounds what is said of a track, in bytes: everybody is told of it, each time that something of its owner changes.
	maxAnnouncement = 8 << 10
	// maxCodecs is in how many codecs a track may be.
	maxCodecs = 4
)

func sidPrefix(a *signalling.AddTrackRequest) string {
	kind := "V"
	if a.Type == signalling.Audio {
		kind = "A"
	}
	switch a.Source {
	case signalling.Camera:
		return "TR_VC"
	case signalling.Microphone:
		return "TR_AM"
	case signalling.ScreenShare, signalling.ScreenShareAudio:
		return "TR_" + kind + "S"
	}
	return "TR_" + kind
}

// trackInfo is what is told of a track that has been announced.
func trackInfo(sid string, a *signalling.AddTrackRequest) *signalling.TrackInfo {
	stream := a.Stream
	if stream == "" {
		stream = "camera"
		if a.Source == signalling.ScreenShare || a.Source == signalling.ScreenShareAudio {
			stream = "screen_share"
		}
	}
	t := &signalling.TrackInfo{
		SID: sid, Type: a.Type, Name: a.Name, Muted: a.Muted, Width: a.Width, Height: a.Height, Simulcast: len(a.Layers) > 1,
		DisableDTX: a.DisableDTX, Source: a.Source, Layers: a.Layers, Stereo: a.Stereo, DisableRED: a.DisableRED,
		Encryption: a.Encryption, Stream: stream, AudioFeatures: a.AudioFeatures, BackupCodecPolicy: a.BackupCodecPolicy,
		TrailerFeatures: a.TrailerFeatures,
	}
	for _, c := range a.SimulcastCodecs {
		mime := c.Codec
		if !strings.Contains(mime, "/") {
			mime = map[signalling.TrackType]string{signalling.Audio: "audio/", signalling.Video: "video/"}[a.Type] + mime
		}
		layers := c.Layers
		if len(layers) == 0 {
			layers = a.Layers
		}
		t.Codecs = append(t.Codecs, signalling.SimulcastCodecInfo{MIMEType: mime, CID: c.CID, Layers: layers, VideoLayerMode: c.VideoLayerMode})
	}
	return t
}

// locate finds out in which media sections the announced tracks are.
func (p *Participant) locate(offer *sdp.SessionDescription) {
	for mid, ids := range sections(offer) {
		for _, pub := range p.everyPublication() {
			if pub.is(ids[0]) || pub.is(ids[1]) {
				if !slices.Contains(pub.mids, mid) {
					pub.mids = append(pub.mids, mid)
				}
				break
			}
		}
	}
}

// prefer puts the codec first in which each track was announced: browsers send the first one of an answer.
func (p *Participant) prefer() {
	for _, t := range p.publisher.pc.GetTransceivers() {
		if t.Receiver() == nil || t.Mid() == "" {
			continue
		}
		for _, pub := range p.everyPublication() {
			if !slices.Contains(pub.mids, t.Mid()) || len(pub.info.Load().Codecs) == 0 {
				continue
			}
			codecs := slices.Clone(t.Receiver().GetParameters().Codecs)
			mime := pub.codecIn(t.Mid())
			slices.SortStableFunc(codecs, func(a, b webrtc.RTPCodecParameters) int {
				return boolInt(strings.EqualFold(b.MimeType, mime)) - boolInt(strings.EqualFold(a.MimeType, mime))
			})
			_ = t.SetCodecPreferences(codecs)
		}
	}
}

// codecIn gives the MIME type that was announced for a media section: that of the first codec for the first section.
func (pub *publication) codecIn(mid string) string {
	codecs := pub.info.Load().Codecs
	return codecs[min(max(slices.Index(pub.mids, mid), 0), len(codecs)-1)].MIMEType
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (p *Participant) everyPublication() []*publication {
	all := slices.Clone(p.pending)
	for _, pub := range p.mine {
		all = append(all, pub)
	}
	return all
}

// is is whether a track was announced by an ID.
func (pub *publication) is(cid string) bool {
	return cid != "" && (pub.cid == cid || slices.ContainsFunc(pub.extra, func(c signalling.SimulcastCodec) bool { return c.CID == cid }))
}

// onTrack takes a stream of the client, once its first packet has come.
func (p *Participant) onTrack(c *peer, remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	pub := p.publicationOf(c, remote, receiver)
	if pub == nil {
		p.log.Debug().Str("track", remote.ID()).Msg("A track was not announced")
		return
	}
	pub.came.Store(&c.came)
	up := pub.upFor(c, remote)
	layer := pub.layerOf(remote.RID())
	options := track.StreamOptions{
		Layer: layer, SSRC: uint32(remote.SSRC()),
		Read:    func(b []byte) (int, error) { n, _, err := remote.Read(b); return n, err },
		Waiting: c.in.of(uint32(remote.SSRC())),
	}
	for _, e := range receiver.GetParameters().HeaderExtensions {
		switch e.URI {
		case uriAudioLevel:
			options.LevelID = uint8(e.ID)
		case uriDescriptor:
			options.DescriptorID = uint8(e.ID)
		}
	}
	go p.contain(func() { up.Receive(options) })
	go p.contain(func() { listen(up, layer, remote.RID(), receiver) })
	if i := slices.Index(p.pending, pub); i >= 0 {
		p.pending = slices.Delete(p.pending, i, i+1)
		p.mine[pub.sid] = pub
		p.retrack()
		p.room.publish(pub)
		return
	}
	p.room.reconcile() // another codec or layer
}

// listen takes what the client tells of a stream.
func listen(up *track.Up, layer int, rid string, r *webrtc.RTPReceiver) {
	for {
		var packets []rtcp.Packet
		var err error
		if rid == "" {
			packets, _, err = r.ReadRTCP()
		} else {
			packets, _, err = r.ReadSimulcastRTCP(rid)
		}
		if err != nil {
			return
		}
		up.HandleRTCP(layer, packets)
	}
}

// publicationOf finds the announcement of a stream.
func (p *Participant) publicationOf(c *peer, remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) *publication {
	mid := ""
	for _, t := range c.pc.GetTransceivers() {
		if t.Receiver() == receiver {
			mid = t.Mid()
		}
	}
	for _, pub := range p.everyPublication() {
		if slices.Contains(pub.mids, mid) {
			return pub
		}
	}
	for _, pub := range p.everyPublication() {
		if pub.is(remote.ID()) || pub.is(remote.StreamID()) {
			return pub
		}
	}
	// Browsers that have replaced a track announce another ID: then it is the only one of its kind that is awaited.
	var only *publication
	for _, pub := range p.pending {
		if (pub.info.Load().Type == signalling.Video) == (remote.Kind() == webrtc.RTPCodecTypeVideo) {
			if only != nil {
				return nil
			}
			only = pub
		}
	}
	return only
}

// upFor gives the Up of a stream's codec, which is made if need be.
func (pub *publication) upFor(c *peer, remote *webrtc.TrackRemote) *track.Up {
	mime := remote.Codec().MimeType
	ups := pub.allUps()
	for _, up := range ups {
		if strings.EqualFold(up.MIMEType, mime) {
			return up
		}
	}
	o := track.UpOptions{
		MIMEType: mime, FMTP: remote.Codec().SDPFmtpLine, ClockRate: remote.Codec().ClockRate, RTCP: c.pc,
	}
	if flush := pub.owner.server.cfg.Flush; flush != nil {
		o.Flusher = flusher(flush)
	}
	if remote.Kind() == webrtc.RTPCodecTypeAudio {
		p := pub.owner
		o.Level = func(level uint8) { p.room.speakers.hear(p.sid, level) }
	}
	up := track.NewUp(o)
	pub.owner.server.tally.up(up)
	ups = append(slices.Clone(ups), up)
	pub.ups.Store(&ups)
	if len(ups) == 1 {
		mid := ""
		if len(pub.mids) > 0 {
			mid = pub.mids[0]
		}
		pub.change(func(t *signalling.TrackInfo) {
			t.MIMEType, t.MID = mime, mid
			if len(t.Codecs) == 0 {
				t.Codecs = []signalling.SimulcastCodecInfo{{MIMEType: mime, MID: mid, CID: pub.cid, Layers: t.Layers}}
			}
		})
	}
	return up
}

type flusher func()

func (f flusher) Flush() { f() }

// layerOf gives the layer that a stream is, by its RID: q, h and f are the quarter, the half and the full size, or 0 for what has
// none.
func (pub *publication) layerOf(rid string) int {
	switch rid {
	case "h":
		return 1
	case "f":
		return 2
	}
	return 0
}

// mute tells others that a track is silent, or not any more.
func (p *Participant) mute(m *signalling.MuteTrackRequest) {
	for _, pub := range p.everyPublication() {
		if pub.sid == m.SID {
			pub.change(func(t *signalling.TrackInfo) { t.Muted = m.Muted })
			p.retrack()
			return
		}
	}
}

// unpublish ends a track of the participant.
func (p *Participant) unpublish(pub *publication) {
	delete(p.mine, pub.sid)
	p.pending = slices.DeleteFunc(p.pending, func(other *publication) bool { return other == pub })
	pub.close()
	p.room.unpublish(pub)
	p.retrack()
}

// dropped ends tracks whose media sections the client has closed, or in which it sends nothing any more.
func (p *Participant) dropped(offer *sdp.SessionDescription) {
	sending := sections(offer)
	for _, pub := range p.mine {
		closed := len(pub.mids) > 0 && !slices.ContainsFunc(pub.mids, func(mid string) bool {
			ids, ok := sending[mid]
			return ok && (pub.is(ids[0]) || pub.is(ids[1]))
		})
		if closed {
			p.unpublish(pub)
		}
	}
}

// setPermission changes what the participant may do. Tracks that it may not publish any more are ended.
func (p *Participant) setPermission(may Permission) {
	p.may.Store(&may)
	for _, pub := range p.everyPublication() {
		if !may.may(pub.info.Load().Source) {
			p.send(&signalling.SignalResponse{TrackUnpublished: &signalling.TrackUnpublished{TrackSID: pub.sid}})
			p.unpublish(pub)
		}
	}
	p.change(func(i *signalling.ParticipantInfo) { i.Permission = may.info() })
	p.reconcile()
}

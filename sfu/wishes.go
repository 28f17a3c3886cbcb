package sfu

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"causeway/sfu/codec"
	"causeway/sfu/signalling"
)

// qualities are up to which layer a participant wants each track that it gets, by the track's SID. Publishers read it.
type qualities struct {
	mu      sync.Mutex // guards highest
	highest map[string]quality
}

// quality is how somebody wants a track.
type quality struct {
	codec string // as codecName has it
	layer int    // -1 for none
}

func (q *qualities) set(sid string, wanted quality) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.highest == nil {
		q.highest = map[string]quality{}
	}
	q.highest[sid] = wanted
}

func (q *qualities) drop(sid string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.highest, sid)
}

// of gives how the participant wants a track, and whether it does.
func (q *qualities) of(sid string) (quality, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wanted, ok := q.highest[sid]
	return wanted, ok
}

// codecName is what clients call a codec: "vp8" of "video/VP8".
func codecName(mimeType string) string {
	_, name, _ := strings.Cut(strings.ToLower(mimeType), "/")
	return name
}

// quality is up to which layer the subscriber wants the track, or -1.
func (s *subscription) quality() int {
	if s.settings.Disabled || s.settings.Quality == signalling.Off {
		return -1
	}
	info := s.pub.info.Load()
	if s.settings.Width > 0 || s.settings.Height > 0 {
		return layerForSize(info, s.settings.Width, s.settings.Height)
	}
	return min(int(s.settings.Quality), codec.MaxSpatial-1)
}

// layerForSize gives the smallest layer that fills a size in pixels.
func layerForSize(info *signalling.TrackInfo, width, height uint32) int {
	for i, l := range info.Layers {
		if l.Width >= width && l.Height >= height {
			return min(i, codec.MaxSpatial-1)
		}
	}
	return max(0, min(len(info.Layers), codec.MaxSpatial)-1)
}

// frequency is the lowest temporal layer by which as many frames per second come as the subscriber has asked for, of whichever spatial layer it gets.
func (s *subscription) frequency(spatial int, fps uint32) int {
	_, chosen, _ := s.down.Selected()
	lowest, comes := 0, false
	for ; spatial >= 0; spatial-- {
		if rates := s.down.Up().FrameRates(spatial); rates[codec.MaxTemporal-1] > 0 {
			lowest, comes = max(lowest, enough(rates, fps, chosen)), true
		}
	}
	if !comes {
		return codec.MaxTemporal - 1
	}
	return lowest
}

// enough gives the lowest temporal layer by which as many frames come, where one is chosen already.
func enough(rates [codec.MaxTemporal]int, fps uint32, chosen int) int {
	for t, frames := range rates {
		missing := fewer
		if t == chosen {
			missing = fewerStill
		}
		if float64(frames)*missing >= float64(fps) {
			return t
		}
	}
	return codec.MaxTemporal - 1
}

// How many times as many frames may be wanted as come, as cameras are not exact: for a layer to be chosen, and for it to stay so.
const fewer, fewerStill = 1.2, 1.4

// layersWanted tells the publisher which layers of a track somebody wants, of each codec (dynacast).
func (p *Participant) layersWanted(pub *publication) {
	info := pub.info.Load()
	if p.mine[pub.sid] != pub || info.Type != signalling.Video {
		return
	}
	highest := pub.highestWanted()
	first := ""
	if len(info.Codecs) > 0 {
		first = codecName(info.Codecs[0].MIMEType)
	}
	update := &signalling.SubscribedQualityUpdate{TrackSID: pub.sid, SubscribedQualities: upTo(highest, first)}
	for _, c := range info.Codecs {
		name := codecName(c.MIMEType)
		update.SubscribedCodecs = append(update.SubscribedCodecs, signalling.SubscribedCodec{Codec: name, Qualities: upTo(highest, name)})
	}
	key := string(signalling.Marshal(update))
	if key == pub.wanted {
		return
	}
	pub.wanted = key
	p.send(&signalling.SignalResponse{SubscribedQualityUpdate: update})
}

// highestWanted gives the highest layer that somebody wants, by codec. Who wants the codec that has come first wants the one that was announced first,
// too: clients go by what they have announced, and browsers may have sent another one.
func (pub *publication) highestWanted() map[string]int {
	info, main := pub.info.Load(), ""
	if ups := pub.allUps(); len(ups) > 0 {
		main = codecName(ups[0].MIMEType)
	}
	highest := map[string]int{}
	raise := func(codec string, layer int) {
		if before, ok := highest[codec]; !ok || layer > before {
			highest[codec] = layer
		}
	}
	for _, other := range pub.owner.room.everybody() {
		wanted, ok := other.qualities.of(pub.sid)
		if !ok || other == pub.owner {
			continue
		}
		raise(wanted.codec, wanted.layer)
		if wanted.codec == main && len(info.Codecs) > 0 {
			raise(codecName(info.Codecs[0].MIMEType), wanted.layer)
		}
	}
	return highest
}

// upTo gives the layers of a codec that somebody wants.
func upTo(highest map[string]int, codec string) (layers []signalling.SubscribedQuality) {
	up, wanted := highest[codec]
	for q := signalling.Low; q <= signalling.High; q++ {
		layers = append(layers, signalling.SubscribedQuality{Quality: q, Enabled: wanted && int(q) <= up})
	}
	return layers
}

// updateSubscription takes which tracks the client wants, or does not.
func (p *Participant) updateSubscription(u *signalling.UpdateSubscription) {
	sids := slices.Clone(u.TrackSIDs)
	for _, t := range u.ParticipantTracks {
		sids = append(sids, t.TrackSIDs...)
	}
	for _, sid := range sids {
		p.wish(sid, u.Subscribe)
	}
	p.reconcile()
}

// wish takes whether the client wants a track, which there may not be yet. What is said of tracks that have ended goes for it.
func (p *Participant) wish(sid string, want bool) {
	if len(sid) > maxSID {
		return
	}
	if _, said := p.wishes[sid]; !said && len(p.wishes) >= maxWishes {
		there := map[string]bool{}
		for _, pub := range p.room.published() {
			there[pub.sid] = true
		}
		maps.DeleteFunc(p.wishes, func(sid string, _ bool) bool { return !there[sid] })
		if len(p.wishes) >= maxWishes {
			return
		}
	}
	p.wishes[sid] = want
}

const (
	// maxWishes is of how many tracks a client can say whether it wants them.
	maxWishes = 4096
	// maxSID is how long the identifiers may be that clients name, in bytes. Ours are shorter.
	maxSID = 64
)

// updateSettings takes how the client wants tracks.
func (p *Participant) updateSettings(u *signalling.UpdateTrackSettings) {
	p.changeSettings(u.TrackSIDs, func(settings *signalling.UpdateTrackSettings) {
		*settings = *u
		settings.TrackSIDs = nil
		settings.Quality = min(max(settings.Quality, signalling.Low), signalling.Off)
	})
}

// changeSettings changes how the client wants tracks, of those that it gets or is to get.
func (p *Participant) changeSettings(sids []string, change func(*signalling.UpdateTrackSettings)) {
	changed := map[*subscription]bool{}
	for _, sid := range sids {
		if s := p.subscriptions[sid]; s != nil {
			change(&s.settings)
			changed[s] = true
		}
	}
	if len(changed) == 0 {
		return
	}
	p.allocate()
	for s := range changed {
		s.want()
	}
}

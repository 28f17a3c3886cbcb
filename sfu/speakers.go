package sfu

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"causeway/sfu/signalling"
)

// When somebody is heard.
const (
	speakingLevel  = 45 // dB below the loudest: what is softer is noise
	speakingShare  = 30 // of a hundred packets, how many have to be louder
	levelSmoothing = 0.5
	levelStep      = 0.02 // what is told of how loud somebody is
)

// speakers hears how loud participants are.
type speakers struct {
	mu    sync.Mutex // guards what follows
	heard map[string]*loudness
	told  map[string]bool
}

// loudness is what was heard of somebody since it was last told.
type loudness struct {
	packets, loud int
	sum           float64 // of the levels of loud packets, from 0 to 1
	level         float64 // smoothed
}

// hear counts a packet of somebody's voice, of a level in dB below the loudest.
func (s *speakers) hear(sid string, level uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard == nil {
		s.heard = map[string]*loudness{}
	}
	l := s.heard[sid]
	if l == nil {
		l = &loudness{}
		s.heard[sid] = l
	}
	l.packets++
	if level <= speakingLevel {
		l.loud++
		l.sum += math.Pow(10, -float64(level)/20)
	}
}

// speaks is whether somebody is heard.
func (s *speakers) speaks(sid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told[sid]
}

// turn gives who is heard now, or is not any more, the loudest first, and begins to listen anew.
func (s *speakers) turn() []signalling.SpeakerInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told == nil {
		s.told = map[string]bool{}
	}
	var changed []signalling.SpeakerInfo
	for sid, l := range s.heard {
		now := 0.0
		active := l.packets > 0 && l.loud*100 >= l.packets*speakingShare
		if active {
			now = math.Min(1, l.sum/float64(l.loud)*4)
		}
		before := l.level
		l.level += (now - l.level) * levelSmoothing
		switch told := s.told[sid]; {
		case active && (!told || math.Abs(before-l.level) > levelStep):
			changed = append(changed, signalling.SpeakerInfo{SID: sid, Level: float32(l.level), Active: true})
		case !active && told:
			changed = append(changed, signalling.SpeakerInfo{SID: sid}) // clients show its level until the next
		}
		s.told[sid] = active
		l.packets, l.loud, l.sum = 0, 0, 0
		if !active && l.level < 0.001 {
			delete(s.heard, sid)
			delete(s.told, sid)
		}
	}
	slices.SortFunc(changed, func(a, b signalling.SpeakerInfo) int { return cmp.Compare(b.Level, a.Level) })
	return changed
}

// tellSpeakers tells everybody whose voice is heard.
func (r *Room) tellSpeakers() {
	changed := r.speakers.turn()
	if len(changed) == 0 {
		return
	}
	m := &signalling.SignalResponse{SpeakersChanged: &signalling.SpeakersChanged{Speakers: changed}}
	for _, p := range r.everybody() {
		p.post(func() { p.send(m) })
	}
}

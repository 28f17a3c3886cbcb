package sfu

import (
	"sync"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/rtcp"
)

// reportEvery is how often subscribers are sent sender reports.
const reportEvery = time.Second

// score is how well a participant is connected.
type score struct {
	reported time.Time                               // of the participant's goroutine
	told     map[string]signalling.ConnectionQuality // to the client, of each participant, by SID; of the participant's goroutine

	mu            sync.Mutex // guards what follows
	packets, lost uint64     // of what it publishes, when it was measured last
	loss          float64    // the worst of its tracks
	rtt           time.Duration
}

// report sends sender reports of all tracks that the participant gets.
func (p *Participant) report(at time.Time) {
	if at.Sub(p.score.reported) < reportEvery || !p.subscriber.connected() {
		return
	}
	p.score.reported = at
	var reports []rtcp.Packet
	for _, s := range p.subscriptions {
		if s.down == nil {
			continue
		}
		if sr := s.down.SenderReport(); sr != nil {
			reports = append(reports, sr)
		}
	}
	if len(reports) > 0 {
		_ = p.subscriber.pc.WriteRTCP(reports)
	}
}

// tellQuality tells the client how well everybody is connected of whom it does not know that yet.
func (p *Participant) tellQuality() {
	p.measure()
	var u signalling.ConnectionQualityUpdate
	known := make(map[string]signalling.ConnectionQuality, len(p.score.told))
	for _, other := range p.room.everybody() {
		q, mos := other.connectionQuality()
		known[other.sid] = q
		if before, ok := p.score.told[other.sid]; !ok || before != q {
			u.Updates = append(u.Updates, signalling.ConnectionQualityInfo{ParticipantSID: other.sid, Quality: q, Score: mos})
		}
	}
	p.score.told = known
	if len(u.Updates) > 0 {
		p.send(&signalling.SignalResponse{ConnectionQuality: &u})
	}
}

// How much of what is sent may be lost until a connection is called good, and poor.
const (
	lossGood = 0.02
	lossPoor = 0.08
	rttGood  = 300 * time.Millisecond
	rttPoor  = 800 * time.Millisecond
)

// connectionQuality is how well the participant is connected, by the worst of its tracks. It may be called from anywhere.
func (p *Participant) connectionQuality() (signalling.ConnectionQuality, float32) {
	if p.info.Load().State != signalling.Active || !p.up.Load() {
		return signalling.QualityLost, 1
	}
	loss, rtt := p.score.get()
	switch {
	case loss > lossPoor || rtt > rttPoor:
		return signalling.QualityPoor, 2
	case loss > lossGood || rtt > rttGood:
		return signalling.QualityGood, 3.5
	}
	return signalling.QualityExcellent, 4.5
}

// measure looks how the participant's tracks fare, both ways. It is called by the participant's goroutine.
func (p *Participant) measure() {
	var loss float64
	var rtt time.Duration
	for _, s := range p.subscriptions {
		if s.down != nil {
			st := s.down.Stats()
			loss, rtt = max(loss, st.Loss), max(rtt, st.RTT)
		}
	}
	var packets, lost uint64
	for _, pub := range p.mine {
		for _, up := range pub.allUps() {
			for _, c := range up.Counts() {
				packets += c.Packets
				lost += c.Lost
			}
		}
	}
	s := &p.score
	s.mu.Lock()
	defer s.mu.Unlock()
	if came := packets - s.packets; came > 0 && packets >= s.packets && lost >= s.lost {
		loss = max(loss, float64(lost-s.lost)/float64(came+lost-s.lost))
	}
	s.packets, s.lost, s.loss, s.rtt = packets, lost, loss, rtt
}

func (s *score) get() (loss float64, rtt time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loss, s.rtt
}

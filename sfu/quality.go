package sfu

import (
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/rtcp"
)

// reportEvery is how often subscribers are sent sender reports.
const reportEvery = time.Second

// score is how well a participant is connected.
type score struct {
	reported time.Time
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

// tellQuality tells the client how well everybody is connected.
func (p *Participant) tellQuality() {
	var u signalling.ConnectionQualityUpdate
	for _, other := range p.room.everybody() {
		q, mos := other.connectionQuality()
		u.Updates = append(u.Updates, signalling.ConnectionQualityInfo{ParticipantSID: other.sid, Quality: q, Score: mos})
	}
	p.send(&signalling.SignalResponse{ConnectionQuality: &u})
}

// connectionQuality may be called from anywhere.
func (p *Participant) connectionQuality() (signalling.ConnectionQuality, float32) {
	if p.info.Load().State != signalling.Active {
		return signalling.QualityLost, 1
	}
	return signalling.QualityExcellent, 4.5
}

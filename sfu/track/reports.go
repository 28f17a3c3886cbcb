package track

import (
	"time"

	"github.com/pion/rtcp"
)

// remoteReport is what the subscriber last said of how the track comes. RFC 3550, section 6.4.2.
type remoteReport struct {
	fractionLost uint8
	jitter       uint32
	rtt          int64 // microseconds; 0 as long as it is not known
	at           int64
	reports      [4]sentReport // the last that were sent, the newest anywhere
	n            int
}

// sentReport is a sender report: the middle of its NTP time, by which answers name it, and when it was sent.
type sentReport struct {
	name uint32
	at   int64
}

// sent remembers a sender report.
func (r *remoteReport) sent(ntp uint64, at int64) {
	r.reports[r.n%len(r.reports)] = sentReport{name: uint32(ntp >> 16), at: at}
	r.n++
}

// answered measures how long an answer took, of which the subscriber kept it for delay, in 1/65536 s.
func (r *remoteReport) answered(name, delay uint32, at int64) {
	for _, s := range r.reports {
		if s.name == name && s.at != 0 {
			if took := at - s.at - int64(delay)*1_000_000>>16; took > 0 {
				r.rtt = took
			}
		}
	}
}

func (d *Down) reported(reports []rtcp.ReceptionReport) {
	at := now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range reports {
		if r.SSRC != d.ssrc {
			continue
		}
		d.remote.fractionLost, d.remote.jitter, d.remote.at = r.FractionLost, r.Jitter, at
		if d.Transport != nil {
			d.Transport.Lost(float64(r.FractionLost) / 256)
		}
		if r.LastSenderReport != 0 {
			d.remote.answered(r.LastSenderReport, r.Delay, at)
		}
	}
}

// SenderReport tells the subscriber which timestamp the track has now, by the publisher's clock where it is known, so that sound and picture of
// one publisher are shown together. It is nil as long as nothing was sent.
func (d *Down) SenderReport() rtcp.Packet {
	at := now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.bound || !d.ready || !d.numbers.started || d.numbers.now.source == nil {
		return nil
	}
	rate := int64(d.up.ClockRate)
	sr := &rtcp.SenderReport{SSRC: d.ssrc, PacketCount: uint32(d.counts.Packets), OctetCount: uint32(d.counts.Bytes)}
	if r := d.numbers.now.source.report.Load(); r != nil {
		since := at - r.at
		sr.NTPTime = r.ntp + uint64(since)<<32/1_000_000
		sr.RTPTime = r.rtp + uint32(since*rate/1_000_000) - d.numbers.now.current().ts
	} else {
		sr.NTPTime = ntp(at)
		sr.RTPTime = d.numbers.last.ts + uint32((at-d.numbers.lastAt)*rate/1_000_000)
	}
	d.remote.sent(sr.NTPTime, at)
	return sr
}

// DownStats are what has gone to a subscriber, and what it says of it.
type DownStats struct {
	Packets, Bytes uint64
	Repeated       uint64        // packets sent again
	Loss           float64       // of those since the report before, from 0 to 1
	RTT            time.Duration // 0 as long as it is not known
}

// Stats are what has gone to the subscriber.
func (d *Down) Stats() DownStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return DownStats{
		Packets: d.counts.Packets, Bytes: d.counts.Bytes, Repeated: d.again, Loss: float64(d.remote.fractionLost) / 256,
		RTT: time.Duration(d.remote.rtt) * time.Microsecond,
	}
}

package bandwidth

import "github.com/pion/rtcp"

// referenceUnit is of what feedback counts its times in, in microseconds: draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1.
const referenceUnit = 64_000

// unwrapper makes times of 24 bits, which begin again after twelve days, go on.
type unwrapper struct {
	last int64 // in units
	any  bool
}

func (u *unwrapper) time(reference uint32) int64 {
	if !u.any {
		// There is room before it, for feedback that comes late.
		u.last, u.any = int64(reference&0xffffff)+1<<24, true
		return u.last * referenceUnit
	}
	ahead := int64(int32((reference-uint32(u.last))<<8) >> 8)
	at := u.last + ahead
	if ahead > 0 {
		u.last = at
	}
	return at * referenceUnit
}

// forEach tells of each packet of a feedback message whether it has come, and when by the peer's clock. It ends where the message makes no
// sense.
func forEach(f *rtcp.TransportLayerCC, u *unwrapper, tell func(seq uint16, came bool, arrival int64)) {
	arrival := u.time(f.ReferenceTime)
	seq, left, deltas := f.BaseSequenceNumber, int(f.PacketStatusCount), f.RecvDeltas
	one := func(symbol uint16) bool {
		if left == 0 {
			return false
		}
		left--
		came := symbol == rtcp.TypeTCCPacketReceivedSmallDelta || symbol == rtcp.TypeTCCPacketReceivedLargeDelta
		if came {
			if len(deltas) == 0 {
				return false
			}
			arrival += deltas[0].Delta
			deltas = deltas[1:]
		}
		tell(seq, came, arrival)
		seq++
		return true
	}
	for _, chunk := range f.PacketChunks {
		switch c := chunk.(type) {
		case *rtcp.RunLengthChunk:
			for range c.RunLength {
				if !one(c.PacketStatusSymbol) {
					return
				}
			}
		case *rtcp.StatusVectorChunk:
			for _, symbol := range c.SymbolList {
				if !one(symbol) {
					return
				}
			}
		}
	}
}

package sfu

import (
	"bytes"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/transport/v4/packetio"
)

// feedbackOn makes feedback that names a stream, on a packet that has come.
func feedbackOn(stream uint32, seq uint16, count uint8) *rtcp.TransportLayerCC {
	return &rtcp.TransportLayerCC{
		Header:    rtcp.Header{Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback, Length: 5, Padding: true},
		MediaSSRC: stream, BaseSequenceNumber: seq, PacketStatusCount: 1, FbPktCount: count,
		PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 1}},
		RecvDeltas:   []*rtcp.RecvDelta{{Type: rtcp.TypeTCCPacketReceivedSmallDelta, Delta: 250}},
	}
}

// TestFeedbackOfAnyStream has feedback be taken whatever stream it names, once, and everything else be left to who reads the stream. Clients name
// the stream of packets that were sent again, which nobody reads.
func TestFeedbackOfAnyStream(t *testing.T) {
	out := new(transport)
	made := buffers(out, new(unread))
	if _, ok := made(packetio.RTPBufferPacket, 1).(*media); !ok {
		t.Error("media has no buffer that counts")
	}
	read, unread := made(packetio.RTCPBufferPacket, 1), made(packetio.RTCPBufferPacket, 2)
	out.Next(1000, true)
	report := &rtcp.ReceiverReport{SSRC: 9, Reports: []rtcp.ReceptionReport{{SSRC: 1}, {SSRC: 2}}}
	alone, err := rtcp.Marshal([]rtcp.Packet{feedbackOn(2, 1, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := unread.Write(alone); n != len(alone) || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	first := out.fed
	if first == 0 {
		t.Error("the feedback was not taken")
	}
	both, err := rtcp.Marshal([]rtcp.Packet{report, feedbackOn(1, 1, 2)})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []interface{ Write([]byte) (int, error) }{read, unread} {
		if _, err := b.Write(both); err != nil {
			t.Fatal(err)
		}
	}
	if out.fed == first {
		t.Error("the feedback in a compound packet was not taken")
	}
	got := make([]byte, 1500)
	n, err := read.Read(got)
	if err != nil || !bytes.Equal(got[:n], both) {
		t.Errorf("got %x, %v; want %x", got[:n], err, both)
	}
	for _, bad := range [][]byte{{}, {0x8f}, {0x8f, 205, 0, 9}, {0x8f, 205, 0xff, 0xff, 1}, append([]byte{0x8f, 205, 0, 1}, 0, 0, 0, 0)} {
		if n, err := unread.Write(bad); n != len(bad) || err != nil {
			t.Errorf("%x: got %d, %v", bad, n, err)
		}
	}
}

// TestWaitingPackets counts what can be read of a stream at once.
func TestWaitingPackets(t *testing.T) {
	in := new(unread)
	made := buffers(new(transport), in)
	b := made(packetio.RTPBufferPacket, 7)
	for range 3 {
		if _, err := b.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	waiting := in.of(7)
	if _, err := b.Read(make([]byte, 1500)); err != nil || waiting() != 2 {
		t.Errorf("got %d, %v; want 2", waiting(), err)
	}
	if _, err := b.Read(make([]byte, 10)); err == nil || waiting() != 1 {
		t.Errorf("got %d, %v; want 1 after one that is too long", waiting(), err)
	}
	if in.of(8) != nil {
		t.Error("there is a stream that nobody has begun")
	}
	if err := b.Close(); err != nil || in.of(7) != nil {
		t.Errorf("got %v, and a stream that has ended", err)
	}
}

// TestSoundAloneIsNotNumbered numbers packets of sound when there are pictures beside it.
func TestSoundAloneIsNotNumbered(t *testing.T) {
	out := new(transport)
	if _, ok := out.Next(100, false); ok {
		t.Error("sound alone has a number")
	}
	if n, ok := out.Next(1000, true); !ok || n != 1 {
		t.Errorf("the first picture has %d, %t", n, ok)
	}
	out.pictures.Store(true)
	if n, ok := out.Next(100, false); !ok || n != 2 {
		t.Errorf("sound beside it has %d, %t", n, ok)
	}
}

// TestRepeatsAreAShare has packets be sent again as far as a part of the estimate goes: some at once, and more with time.
func TestRepeatsAreAShare(t *testing.T) {
	out := new(transport)
	repeat := func() (bytes int) {
		for out.Repeat(1000) {
			bytes += 1000
		}
		return bytes
	}
	begun, rate := micros(), estimates.Start/8/repeatShare
	first := repeat()
	if most := rate/4 + int(int64(rate)*(micros()-begun)/1_000_000); first > most || first < rate/4-2000 {
		t.Errorf("%d bytes are sent again at once, want %d", first, rate/4)
	}
	out.repeatedAt -= 100_000 // as if a tenth of a second had passed
	if more := repeat(); more < rate/10-2000 || more > rate/4 {
		t.Errorf("%d bytes after 100 ms, want %d", more, rate/10)
	}
}

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
	made := buffers(out)
	if _, ok := made(packetio.RTPBufferPacket, 1).(*packetio.Buffer); !ok {
		t.Error("media has no plain buffer")
	}
	read, unread := made(packetio.RTCPBufferPacket, 1), made(packetio.RTCPBufferPacket, 2)
	out.Next(1000)
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

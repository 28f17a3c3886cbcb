package track

import (
	"encoding/binary"
	"io"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// flushes counts when what waits is sent.
type flushes struct{ n atomic.Int32 }

func (f *flushes) Flush() { f.n.Add(1) }

// faulty is a listener whose connection panics.
type faulty struct{ listener }

func (s *faulty) WriteStream() webrtc.TrackLocalWriter { return s }

// WriteRTP implements webrtc.TrackLocalWriter.
func (*faulty) WriteRTP(*rtp.Header, []byte) (int, error) { panic("faulty") }

// voices gives the packets of a voice, and then the end.
func voices(t *testing.T, packets int) Reader {
	t.Helper()
	n := 0
	return func(b []byte) (int, error) {
		if n == packets {
			return 0, io.EOF
		}
		p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: uint16(n), Timestamp: uint32(n * 960), SSRC: 1000}}
		p.Payload = binary.BigEndian.AppendUint32(nil, uint32(n))
		n++
		return p.MarshalTo(b)
	}
}

// TestManySubscribers has so many get a track that several processors hand it on: each of them gets all, in order, and all is sent.
func TestManySubscribers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	f := &flushes{}
	up := NewUp(UpOptions{MIMEType: "audio/opus", ClockRate: 48_000, RTCP: &publisher{}, Flusher: f})
	var all []*listener
	for range 5*shardSize + 7 {
		s := &listener{}
		d := NewDown(up, DownOptions{ID: "a"})
		if _, err := d.Bind(s); err != nil {
			t.Fatal(err)
		}
		up.Subscribe(d)
		d.Ready(true)
		all = append(all, s)
	}
	const packets = 200
	up.Receive(StreamOptions{SSRC: 1000, Read: voices(t, packets)})
	for i, s := range all {
		if len(s.packets) != packets {
			t.Fatalf("subscriber %d got %d packets, want %d", i, len(s.packets), packets)
		}
		for n, p := range s.packets {
			if got := binary.BigEndian.Uint32(p.payload); got != uint32(n) {
				t.Fatalf("subscriber %d got packet %d as its number %d", i, got, n)
			}
		}
	}
	if least := int32(packets * len(all) / flushAfter); f.n.Load() < least {
		t.Errorf("what waits was sent %d times, want at least %d", f.n.Load(), least)
	}
}

// TestFaultOfOneOfMany has a panic that is one of many subscribers' be the publisher's, who contains it.
func TestFaultOfOneOfMany(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	for _, at := range []int{0, 3*shardSize - 1} {
		up := NewUp(UpOptions{MIMEType: "audio/opus", ClockRate: 48_000, RTCP: &publisher{}})
		for i := range 3 * shardSize {
			d := NewDown(up, DownOptions{ID: "a"})
			var err error
			if i == at {
				_, err = d.Bind(&faulty{})
			} else {
				_, err = d.Bind(&listener{})
			}
			if err != nil {
				t.Fatal(err)
			}
			up.Subscribe(d)
			d.Ready(true)
		}
		func() {
			defer func() {
				if got := recover(); got != "faulty" {
					t.Errorf("subscriber %d: got the panic %v", at, got)
				}
			}()
			up.Receive(StreamOptions{SSRC: 1000, Read: voices(t, 1)})
		}()
	}
}

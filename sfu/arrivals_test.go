package sfu

import (
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const testExtension = 3 // the ID of the number of a packet

// numbersTold is feedback as its reader sees it: which numbers it is about, and when each came in microseconds, or -1.
type numbersTold struct {
	numbers []uint16
	came    []int64
}

// readFeedback reads feedback from its bytes.
func readFeedback(t *testing.T, f *rtcp.TransportLayerCC) numbersTold {
	t.Helper()
	raw, err := f.Marshal()
	if err != nil {
		t.Fatalf("%+v cannot be written: %v", f, err)
	}
	var in rtcp.TransportLayerCC
	if err := in.Unmarshal(raw); err != nil {
		t.Fatalf("%x cannot be read: %v", raw, err)
	}
	var symbols []uint16
	for _, c := range in.PacketChunks {
		switch c := c.(type) {
		case *rtcp.RunLengthChunk:
			for range c.RunLength {
				symbols = append(symbols, c.PacketStatusSymbol)
			}
		case *rtcp.StatusVectorChunk:
			symbols = append(symbols, c.SymbolList...)
		}
	}
	if len(symbols) < int(in.PacketStatusCount) {
		t.Fatalf("%x is about %d packets, and says of %d whether they have come", raw, in.PacketStatusCount, len(symbols))
	}
	var out numbersTold
	at, deltas := int64(in.ReferenceTime)*64_000, in.RecvDeltas
	for i, s := range symbols[:in.PacketStatusCount] {
		out.numbers = append(out.numbers, in.BaseSequenceNumber+uint16(i))
		if s == rtcp.TypeTCCPacketNotReceived {
			out.came = append(out.came, -1)
			continue
		}
		at += deltas[0].Delta
		deltas = deltas[1:]
		out.came = append(out.came, at)
	}
	return out
}

// incoming is a connection that packets come by, in a test.
type incoming struct {
	*arrivals
	reader interceptor.RTPReader
	next   []byte // the packet that is read next

	mu       sync.Mutex // guards what follows
	feedback []*rtcp.TransportLayerCC
	reports  []*rtcp.ReceiverReport
}

// Write takes what the publisher is told.
func (in *incoming) Write(packets []rtcp.Packet, _ interceptor.Attributes) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.TransportLayerCC:
			in.feedback = append(in.feedback, p)
		case *rtcp.ReceiverReport:
			in.reports = append(in.reports, p)
		}
	}
	return 0, nil
}

// told gives what was told since it was asked last.
func (in *incoming) told() (feedback []*rtcp.TransportLayerCC, reports []*rtcp.ReceiverReport) {
	in.mu.Lock()
	defer in.mu.Unlock()
	feedback, reports = in.feedback, in.reports
	in.feedback, in.reports = nil, nil
	return feedback, reports
}

// newIncoming makes one. Its packets have numbers where numbered is true.
func newIncoming(t testing.TB, numbered bool) *incoming {
	t.Helper()
	in := &incoming{arrivals: new(arrivals)}
	made, err := in.NewInterceptor("")
	if err != nil || made != interceptor.Interceptor(in.arrivals) {
		t.Fatalf("got %v, %v", made, err)
	}
	in.BindRTCPWriter(in)
	info := &interceptor.StreamInfo{SSRC: 1000, ClockRate: 90_000}
	if numbered {
		info.RTPHeaderExtensions = []interceptor.RTPHeaderExtension{{URI: uriAudioLevel, ID: 1}, {URI: uriTransportCC, ID: testExtension}}
	}
	in.reader = in.BindRemoteStream(info, interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		if in.next == nil {
			return 0, nil, io.EOF
		}
		return copy(b, in.next), a, nil
	}))
	return in
}

// packet has a packet come with a sequence number, and a number on the connection that is not negative.
func (in *incoming) packet(t *testing.T, seq uint16, number int) {
	t.Helper()
	p := &rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 1000, SequenceNumber: seq, Timestamp: uint32(seq) * 3000}, Payload: []byte{1, 2, 3}}
	if number >= 0 {
		_ = p.SetExtension(testExtension, binary.BigEndian.AppendUint16(nil, uint16(number)))
	}
	raw, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	in.next = raw
	b := make([]byte, 1500)
	n, attributes, err := in.reader.Read(b, interceptor.Attributes{})
	if err != nil || n != len(raw) {
		t.Fatalf("got %d bytes, %v; want %d", n, err, len(raw))
	}
	if h, err := attributes.GetRTPHeader(b[:n]); err != nil || h.SequenceNumber != seq {
		t.Fatalf("got %+v, %v", h, err)
	}
}

// TestArrivals tells a publisher, every 100 ms where something has come, which of its packets have come and when, and which have not.
func TestArrivals(t *testing.T) {
	in := newIncoming(t, true)
	defer in.Close()
	begun := time.Now()
	in.tick(begun)
	if feedback, _ := in.told(); len(feedback) > 0 {
		t.Errorf("before anything has come, %v is told", feedback)
	}
	type moment struct{ from, to int64 }
	came := map[uint16]moment{}
	seq := uint16(0)
	packets := func(numbers ...int) {
		t.Helper()
		for _, n := range numbers {
			seq++
			time.Sleep(2 * time.Millisecond) // it is time that is told
			m := moment{from: micros()}
			in.packet(t, seq, n)
			m.to = micros()
			came[uint16(n)] = m
		}
	}
	// next has ticks go on until something is told, and gives what, and when.
	at := begun.Add(roomTick)
	next := func() (time.Time, numbersTold) {
		t.Helper()
		for range 10 {
			at = at.Add(roomTick)
			in.tick(at)
			feedback, _ := in.told()
			if len(feedback) == 0 {
				continue
			}
			if len(feedback) != 1 || feedback[0].MediaSSRC != 1000 {
				t.Fatalf("%v is told", feedback)
			}
			return at, readFeedback(t, feedback[0])
		}
		t.Fatal("nothing is told for 200 ms")
		return at, numbersTold{}
	}
	check := func(f numbersTold, want map[uint16]bool) {
		t.Helper()
		if len(f.numbers) != len(want) {
			t.Errorf("%v is told of, want %v", f.numbers, want)
		}
		for i, n := range f.numbers {
			has, ok := want[n]
			m := came[n]
			switch {
			case !ok || has != (f.came[i] >= 0):
				t.Errorf("number %d is said to have come at %d, want %t", n, f.came[i], has)
			case has && (f.came[i] < m.from-500 || f.came[i] > m.to+500): // it is told to a quarter of a millisecond
				t.Errorf("number %d is said to have come at %d, want from %d to %d", n, f.came[i], m.from, m.to)
			}
		}
	}

	packets(65_534, 65_535, 1, 2, 5)
	in.packet(t, seq+1, -1) // one that has no number
	first, f := next()
	check(f, map[uint16]bool{65_534: true, 65_535: true, 0: false, 1: true, 2: true, 3: false, 4: false, 5: true})
	packets(6, 7)
	second, f := next()
	check(f, map[uint16]bool{6: true, 7: true})
	if gap := second.Sub(first); gap != 100*time.Millisecond {
		t.Errorf("it is told again after %v, want 100 ms", gap)
	}
	for range 20 {
		at = at.Add(roomTick)
		in.tick(at)
	}
	if feedback, _ := in.told(); len(feedback) > 0 {
		t.Errorf("though nothing has come, %v is told", feedback)
	}
	packets(9)
	_, f = next()
	check(f, map[uint16]bool{8: false, 9: true})
	packets(8) // late: then all since is told anew
	_, f = next()
	check(f, map[uint16]bool{8: true, 9: true})

	in.next = nil
	if _, _, err := in.reader.Read(make([]byte, 1500), nil); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// TestArrivalsAreReported has reports each second that say how much of a stream has been lost.
func TestArrivalsAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newIncoming(t, false)
		for _, seq := range []uint16{65_534, 65_535, 2, 3, 4, 5} {
			in.packet(t, seq, -1)
			time.Sleep(33 * time.Millisecond)
		}
		in.tick(time.Now()) // nothing has a number
		time.Sleep(time.Second)
		synctest.Wait()
		feedback, reports := in.told()
		if len(feedback) != 0 || len(reports) != 1 || len(reports[0].Reports) != 1 {
			t.Fatalf("got %v and %v, want a report", feedback, reports)
		}
		// Two of eight: 0 and 1.
		if got := reports[0].Reports[0]; got.SSRC != 1000 || got.TotalLost != 2 || got.FractionLost != 64 || got.LastSequenceNumber != 1<<16|5 {
			t.Errorf("got %+v", got)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		if feedback, reports := in.told(); len(feedback)+len(reports) > 0 {
			t.Errorf("after the end %v and %v are told", feedback, reports)
		}
	})
}

// reporting counts goroutines that report what has come.
func reporting() int {
	b := make([]byte, 4<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "created by github.com/pion/interceptor/pkg/report.(*ReceiverInterceptor).BindRTCPWriter")
}

// TestArrivalsOfNobody has connections that publish nothing cost nothing: no goroutine, and no packet.
func TestArrivalsOfNobody(t *testing.T) {
	before := reporting()
	sent := 0
	a := new(arrivals)
	if _, err := a.NewInterceptor(""); err != nil {
		t.Fatal(err)
	}
	a.BindRTCPWriter(interceptor.RTCPWriterFunc(func(packets []rtcp.Packet, _ interceptor.Attributes) (int, error) {
		sent += len(packets)
		return 0, nil
	}))
	a.BindRTCPReader(interceptor.RTCPReaderFunc(func([]byte, interceptor.Attributes) (int, interceptor.Attributes, error) { return 0, nil, io.EOF }))
	for i := range 50 {
		a.tick(begun.Add(time.Duration(i) * roomTick))
	}
	if n := reporting() - before; n != 0 || sent != 0 {
		t.Errorf("%d goroutines and %d packets for who publishes nothing", n, sent)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	in := newIncoming(t, true)
	if n := reporting() - before; n != 1 {
		t.Errorf("%d goroutines for who publishes, want 1", n)
	}
	if err := in.Close(); err != nil || reporting() != before {
		t.Errorf("%v; %d goroutines are left", err, reporting()-before)
	}
}

// TestPublisherIsTold has the SFU tell a publisher what has come, by the connection, as browsers need it, and that what was left out is lost.
func TestPublisherIsTold(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	alice.send(&signalling.SignalRequest{AddTrack: &signalling.AddTrackRequest{CID: "camera", Type: signalling.Video, Source: signalling.Camera}})
	alice.await("for its track to be taken", func(m *signalling.SignalResponse) bool { return m.TrackPublished != nil })
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "camera", "stream")
	if err != nil {
		t.Fatal(err)
	}
	tr, err := alice.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		t.Fatal(err)
	}
	alice.offer()
	got := make(chan rtcp.Packet, 1000)
	go func() {
		for {
			packets, _, err := tr.Sender().ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range packets {
				got <- p
			}
		}
	}()
	const missing = 50 // the number that is left out
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := uint16(1); ; n++ {
			select {
			case <-t.Context().Done():
				return
			case <-tick.C:
			}
			p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: n, Timestamp: uint32(n) * 900, Marker: true}, Payload: frame(int(n), true)}
			for _, e := range tr.Sender().GetParameters().HeaderExtensions {
				if e.URI == uriTransportCC {
					_ = p.SetExtension(uint8(e.ID), binary.BigEndian.AppendUint16(nil, n))
				}
			}
			if n != missing {
				_ = track.WriteRTP(p)
			}
		}
	}()
	came, reported := map[uint16]bool{}, false
	timeout := time.After(within)
	for {
		select {
		case p := <-got:
			switch p := p.(type) {
			case *rtcp.ReceiverReport:
				reported = true
			case *rtcp.TransportLayerCC:
				f := readFeedback(t, p)
				for i, n := range f.numbers {
					came[n] = came[n] || f.came[i] >= 0
				}
			}
		case <-timeout:
			t.Fatalf("of %d numbers is told, and there is a report: %t", len(came), reported)
		}
		if _, told := came[210]; told && reported {
			break
		}
	}
	lost := 0
	for n := uint16(missing - 20); n < 200; n++ {
		if has, told := came[n]; !told {
			t.Errorf("nothing is told of number %d", n)
		} else if !has {
			lost++
		}
	}
	if came[missing] || lost > 20 {
		t.Errorf("number %d has come: %t; %d are said to be lost", missing, came[missing], lost)
	}
}

// FuzzArrivals has a publisher send packets and reports that are anything. What it is told can be read, and is not more than it may be. The steps are a byte
// that says what is done, one with the length of what follows, and that.
func FuzzArrivals(f *testing.F) {
	numbered := []byte{0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 3, 0xe8, 0xbe, 0xde, 0, 1, testExtension<<4 | 1, 0xff, 0xfe, 0, 1, 2}
	report, _ := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: 1000, NTPTime: 1 << 40, RTPTime: 9}})
	step := func(op byte, b ...byte) []byte { return append([]byte{op, byte(len(b))}, b...) }
	f.Add(append(append(step(0, numbered...), step(2)...), step(3, report...)...))
	f.Add(append(append(append(step(1, 0xff, 0xff), step(1, 0x7f, 0xff)...), step(1, 0xff, 0xfd)...), step(2)...))
	f.Add(step(0, 0x90, 96, 0, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		in := newIncoming(t, true)
		defer in.Close()
		var feedback []byte
		reports := in.BindRTCPReader(interceptor.RTCPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
			return copy(b, feedback), a, nil
		}))
		at := time.Now()
		buf := make([]byte, 1500)
		for seq := uint16(0); len(b) >= 2; seq++ {
			n := min(int(b[1]), len(b)-2)
			op, arg := b[0]%4, b[2:2+n]
			b = b[2+n:]
			switch {
			case op == 0 && n > 0:
				in.next = arg
				_, _, _ = in.reader.Read(buf, nil)
			case op == 1 && n == 2:
				in.packet(t, seq, int(binary.BigEndian.Uint16(arg)))
			case op == 3:
				feedback = arg
				_, _, _ = reports.Read(buf, nil)
			default:
				at = at.Add(arrivalsEvery)
				in.tick(at)
			}
		}
		in.tick(at.Add(arrivalsEvery))
		told, _ := in.told()
		for _, f := range told {
			if got := readFeedback(t, f); len(got.numbers) > 1<<15 {
				t.Fatalf("it is about %d packets", len(got.numbers))
			}
		}
	})
}

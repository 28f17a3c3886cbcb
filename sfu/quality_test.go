package sfu

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"causeway/sfu/signalling"
	"causeway/sfu/track"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// TestQualityIsToldOnce tells a client how well somebody is connected when that has changed, and of everybody anew once it has resumed.
func TestQualityIsToldOnce(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	w.join("room", "bob", everything)
	active := map[string]bool{}
	alice.await("media of both", func(m *signalling.SignalResponse) bool {
		if m.Update != nil {
			for _, p := range m.Update.Participants {
				active[p.Identity] = p.State == signalling.Active
			}
		}
		return active["alice"] && active["bob"]
	})
	of := w.server.room("room").byIdentity("alice")
	// told has it told, and gives of how many participants the client hears.
	told := func(before func()) (n int) {
		t.Helper()
		of.post(func() {
			before()
			of.tellQuality()
			of.send(&signalling.SignalResponse{SpeakersChanged: &signalling.SpeakersChanged{}})
		})
		alice.await("the end", func(m *signalling.SignalResponse) bool {
			if m.ConnectionQuality != nil {
				n += len(m.ConnectionQuality.Updates)
			}
			return m.SpeakersChanged != nil && len(m.SpeakersChanged.Speakers) == 0
		})
		return n
	}
	for i, c := range []struct {
		before func()
		want   int
	}{
		{func() {}, 2},
		{func() {}, 0},
		{func() { of.up.Store(false) }, 1},
		{func() { of.score.told = nil }, 2},
	} {
		if got := told(c.before); got != c.want {
			t.Errorf("%d: told of %d, want %d", i, got, c.want)
		}
	}
}

// TestConnectionQuality names how well somebody is connected, by how much is lost and how long answers take.
func TestConnectionQuality(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		loss     float64
		rtt      time.Duration
		joining  bool
		away     bool
		want     signalling.ConnectionQuality
		wantText string
	}{
		{want: signalling.QualityExcellent, wantText: "nothing is lost"},
		{loss: 0.02, rtt: 300 * ms, want: signalling.QualityExcellent, wantText: "just excellent"},
		{loss: 0.021, want: signalling.QualityGood, wantText: "a little is lost"},
		{rtt: 301 * ms, want: signalling.QualityGood, wantText: "a little late"},
		{loss: 0.08, rtt: 800 * ms, want: signalling.QualityGood, wantText: "just good"},
		{loss: 0.081, want: signalling.QualityPoor, wantText: "much is lost"},
		{rtt: 801 * ms, want: signalling.QualityPoor, wantText: "very late"},
		{loss: 0.01, rtt: 2000 * ms, want: signalling.QualityPoor, wantText: "the worse of both counts"},
		{loss: 1, rtt: 2000 * ms, want: signalling.QualityPoor, wantText: "nothing comes"},
		{joining: true, want: signalling.QualityLost, wantText: "not connected so far"},
		{away: true, want: signalling.QualityLost, wantText: "not connected any more"},
	} {
		p := new(Participant)
		info := &signalling.ParticipantInfo{State: signalling.Active}
		if c.joining {
			info.State = signalling.Joined
		}
		p.info.Store(info)
		p.up.Store(!c.away)
		p.score.loss, p.score.rtt = c.loss, c.rtt
		got, mos := p.connectionQuality()
		score := map[signalling.ConnectionQuality]float32{
			signalling.QualityExcellent: 4.5, signalling.QualityGood: 3.5, signalling.QualityPoor: 2, signalling.QualityLost: 1,
		}[c.want]
		if got != c.want || mos != score {
			t.Errorf("%s (%v lost, %v): got %v with the score %v, want %v with %v", c.wantText, c.loss, c.rtt, got, mos, c.want, score)
		}
	}
}

// downstream is what a track is sent to, in a test.
type downstream struct{ webrtc.TrackLocalContext }

func (downstream) CodecParameters() []webrtc.RTPCodecParameters {
	return []webrtc.RTPCodecParameters{{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, PayloadType: 111}}
}
func (downstream) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter { return nil }
func (downstream) SSRC() webrtc.SSRC                                      { return 7 }
func (downstream) SSRCRetransmission() webrtc.SSRC                        { return 0 }
func (d downstream) WriteStream() webrtc.TrackLocalWriter                 { return d }
func (downstream) Write(b []byte) (int, error)                            { return len(b), nil }
func (downstream) WriteRTP(*rtp.Header, []byte) (int, error)              { return 100, nil }

// TestMeasure measures a connection by the worst track of both directions: by what a participant says of those that it gets, and by what has come of its own.
func TestMeasure(t *testing.T) {
	packets := make(chan uint16)
	up := track.NewUp(track.UpOptions{MIMEType: webrtc.MimeTypeOpus, ClockRate: 48_000, RTCP: nobody{}})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		up.Receive(track.StreamOptions{SSRC: 1000, Read: func(b []byte) (int, error) {
			seq, ok := <-packets
			if !ok {
				return 0, io.EOF
			}
			head := []byte{0x80, 111, byte(seq >> 8), byte(seq), 0, 0, 0, 0, 0, 0, 3, 0xe8}
			binary.BigEndian.PutUint32(head[4:], uint32(seq)*960)
			return copy(b, append(head, 1, 2, 3)), nil
		}})
	}()
	defer func() { close(packets); <-ended }()
	down := track.NewDown(up, track.DownOptions{ID: "d"})
	if _, err := down.Bind(downstream{}); err != nil {
		t.Fatal(err)
	}
	up.Subscribe(down)
	down.Ready(true)

	pub := new(publication)
	pub.ups.Store(&[]*track.Up{up})
	p := &Participant{mine: map[string]*publication{"mine": pub}, subscriptions: map[string]*subscription{"got": {down: down}, "not yet": {}}}
	check := func(what string, loss float64) {
		t.Helper()
		p.measure()
		if got, _ := p.score.get(); got < loss-0.002 || got > loss+0.002 {
			t.Errorf("%s: %v is lost, want %v", what, got, loss)
		}
	}
	send := func(from, to uint16) {
		for n := from; n < to; n++ {
			packets <- n
		}
	}
	// lost waits until so many packets are given up.
	lost := func(want uint64) {
		t.Helper()
		for timeout := time.Now().Add(within); up.Counts()[0].Lost < want; up.Tick() {
			if time.Now().After(timeout) {
				t.Fatalf("%d packets are given up, want %d", up.Counts()[0].Lost, want)
			}
			time.Sleep(time.Millisecond) // the track has a clock of its own
		}
	}
	check("nothing has come", 0)
	send(0, 30)
	send(40, 101) // the last may be on its way still
	lost(10)
	check("ten of a hundred are lost", 0.1)
	check("nothing has come since", 0)
	send(101, 150)
	check("nothing was lost since", 0)

	sr, ok := down.SenderReport().(*rtcp.SenderReport)
	if !ok {
		t.Fatal("there is no sender report")
	}
	time.Sleep(5 * time.Millisecond) // it is time that is measured
	down.HandleRTCP([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: 9, Reports: []rtcp.ReceptionReport{
		{SSRC: 8, FractionLost: 255}, // of another stream
		{SSRC: 7, FractionLost: 64, LastSenderReport: uint32(sr.NTPTime >> 16)},
	}}})
	check("the other way a quarter is lost", 0.25)
	if _, rtt := p.score.get(); rtt < 5*time.Millisecond || rtt > within {
		t.Errorf("an answer took %v", rtt)
	}
	up.Close()
	p.mine["mine"] = new(publication)
	check("a track has ended", 0.25)
}

// nobody takes what a publisher is told.
type nobody struct{}

func (nobody) WriteRTCP([]rtcp.Packet) error { return nil }

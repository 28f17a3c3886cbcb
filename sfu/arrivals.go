package sfu

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// arrivalsEvery is how often a publisher is told when its packets have come.
const arrivalsEvery = 100 * time.Millisecond

// arrivals tells a publisher what has come of its packets, and when: draft-holmer-rmcat-transport-wide-cc-extensions-01, and receiver reports of RFC
// 3550, section 6.4.2. It is the interceptor of a connection, and costs one that publishes nothing nothing at all.
type arrivals struct {
	interceptor.NoOp
	reports interceptor.Interceptor

	writer interceptor.RTCPWriter // set once, before anything comes

	mu      sync.Mutex // guards what follows
	started bool       // something comes
	told    time.Time
	came    *twcc.Recorder
}

// NewInterceptor gives itself: it is a factory, too, for its one connection.
func (a *arrivals) NewInterceptor(id string) (interceptor.Interceptor, error) {
	reports, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, err
	}
	a.reports, err = reports.NewInterceptor(id)
	return a, err
}

// BindRTCPWriter implements interceptor.Interceptor.
func (a *arrivals) BindRTCPWriter(w interceptor.RTCPWriter) interceptor.RTCPWriter {
	a.writer = w
	return w
}

// BindRTCPReader implements interceptor.Interceptor.
func (a *arrivals) BindRTCPReader(r interceptor.RTCPReader) interceptor.RTCPReader {
	return a.reports.BindRTCPReader(r)
}

// BindRemoteStream implements interceptor.Interceptor.
func (a *arrivals) BindRemoteStream(info *interceptor.StreamInfo, r interceptor.RTPReader) interceptor.RTPReader {
	a.start()
	r = a.reports.BindRemoteStream(info, r)
	id, ssrc := extensionOf(info, uriTransportCC), info.SSRC
	if id == 0 {
		return r
	}
	return interceptor.RTPReaderFunc(func(b []byte, attributes interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, attributes, err := r.Read(b, attributes)
		if err != nil {
			return n, attributes, err
		}
		if attributes == nil {
			attributes = interceptor.Attributes{}
		}
		header, err := attributes.GetRTPHeader(b[:n])
		if err != nil {
			return n, attributes, err
		}
		var number rtp.TransportCCExtension
		if number.Unmarshal(header.GetExtension(id)) == nil {
			a.record(ssrc, number.TransportSequence)
		}
		return n, attributes, nil
	})
}

func (a *arrivals) record(ssrc uint32, number uint16) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.came.Record(ssrc, number, micros())
}

// start begins once something comes.
func (a *arrivals) start() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.started {
		a.started = true
		a.came = twcc.NewRecorder(rand.Uint32())
		a.reports.BindRTCPWriter(a.writer)
	}
}

// UnbindRemoteStream implements interceptor.Interceptor.
func (a *arrivals) UnbindRemoteStream(info *interceptor.StreamInfo) {
	a.reports.UnbindRemoteStream(info)
}

// Close implements interceptor.Interceptor.
func (a *arrivals) Close() error { return a.reports.Close() }

// tick tells the publisher, when it is time.
func (a *arrivals) tick(at time.Time) {
	if packets := a.due(at); len(packets) > 0 {
		_, _ = a.writer.Write(packets, nil) // if it fails, so does the connection
	}
}

// due gives what the publisher is to be told, when it is time.
func (a *arrivals) due(at time.Time) []rtcp.Packet {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.started || at.Sub(a.told) < arrivalsEvery-roomTick/2 {
		return nil
	}
	a.told = at
	return a.came.BuildFeedbackPacket()
}

// extensionOf gives the ID of a header extension in a stream, or 0.
func extensionOf(info *interceptor.StreamInfo, uri string) uint8 {
	for _, e := range info.RTPHeaderExtensions {
		if e.URI == uri {
			return uint8(e.ID)
		}
	}
	return 0
}

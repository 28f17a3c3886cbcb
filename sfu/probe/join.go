package probe

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"causeway/sfu/signalling"

	"github.com/coder/websocket"
	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
)

// route is by what way media goes.
type route struct {
	networks []webrtc.NetworkType
	relay    *webrtc.ICEServer // nil for a direct one
	dial     dialer            // to the relay, by TCP
	only     netip.AddrPort    // the one address of the SFU that is used; the zero value for all
}

var (
	byUDP = []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	byTCP = []webrtc.NetworkType{webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6}
)

// told is an address at which an SFU says that it takes media.
type told struct {
	address netip.AddrPort
	tcp     bool
}

func (t told) String() string {
	if t.tcp {
		return t.address.String() + "/tcp"
	}
	return t.address.String() + "/udp"
}

// visit is how far somebody has come who wanted to be in a call.
type visit struct {
	upgraded, joined, connected bool
	told                        []told
	gathered                    int           // own addresses
	remote                      string        // where media goes
	servers                     []credentials // of TURN
}

// What ends a visit.
var (
	errPutOut  = errors.New("the SFU has put the client out")
	errNoMedia = errors.New("media does not get through")
)

// maxFrame bounds a message of signalling, in bytes.
const maxFrame = 1 << 20

// join comes into a call as clients do, waits until media is connected, and leaves it.
func (r *run) join(ctx context.Context, jwt string, by route) (v visit, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	pc, err := r.connection(by)
	if err != nil {
		return v, err
	}
	defer func() { _ = pc.Close() }()
	ended := make(chan webrtc.PeerConnectionState, 1)
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected || s == webrtc.PeerConnectionStateFailed {
			select {
			case ended <- s:
			default:
			}
		}
	})
	offer, err := describe(ctx, pc)
	if err != nil {
		return v, err
	}
	v.gathered = strings.Count(offer, "a=candidate:")
	if by.relay != nil && v.gathered == 0 {
		return v, errNoRelay
	}
	conn, err := r.dial(ctx, jwt, offer)
	if err != nil {
		return v, err
	}
	defer func() { _ = conn.CloseNow() }()
	v.upgraded = true
	heard := make(chan error, 1)
	go func() { heard <- v.listen(ctx, conn, pc, by.only) }()
	select {
	case s := <-ended:
		v.connected = s == webrtc.PeerConnectionStateConnected
	case err = <-heard:
	case <-ctx.Done():
	}
	if v.connected {
		v.remote = selected(pc)
		_ = conn.Write(ctx, websocket.MessageBinary, leave())
	} else if err == nil {
		err = errNoMedia
	}
	_ = conn.CloseNow()
	if err == nil || errors.Is(err, errNoMedia) {
		<-heard // it writes to v
	}
	return v, err
}

// leave is the message of a client that goes.
func leave() []byte {
	return signalling.Marshal(&signalling.SignalRequest{Leave: &signalling.LeaveRequest{Reason: signalling.ClientInitiated}})
}

// stay comes into a call, with or without media, until release is called: an SFU may give relays to those alone who are there. It returns the TURN
// servers that the SFU tells of.
func (r *run) stay(ctx context.Context) (servers []credentials, release func(), err error) {
	within, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	pc, err := r.connection(route{networks: byUDP})
	if err != nil {
		return nil, nil, err
	}
	offer, err := describe(within, pc)
	var conn *websocket.Conn
	if err == nil {
		conn, err = r.dial(within, r.tokenFor(within, "doctor-stays"), offer)
	}
	if err != nil {
		return nil, nil, errors.Join(err, pc.Close())
	}
	end := func() {
		_ = conn.Write(ctx, websocket.MessageBinary, leave())
		_ = conn.CloseNow()
		_ = pc.Close()
	}
	for {
		m := new(signalling.SignalResponse)
		_, raw, err := conn.Read(within)
		if err == nil {
			err = signalling.Unmarshal(raw, m)
		}
		if err != nil {
			end()
			return nil, nil, err
		}
		if m.Join == nil {
			continue
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for err := error(nil); err == nil; {
				_, _, err = conn.Read(ctx)
			}
		}()
		return serversOf(m.Join), func() {
			end()
			<-ended
		}, nil
	}
}

// serversOf are the TURN servers that who has come into a call is told of.
func serversOf(join *signalling.Join) []credentials {
	var all []credentials
	for _, s := range join.ICEServers {
		all = append(all, credentials{Username: s.Username, Password: s.Credential, URIs: s.URLs})
	}
	return all
}

// connection makes a peer connection that goes one way alone, with the data channels that clients have.
func (r *run) connection(by route) (*webrtc.PeerConnection, error) {
	var s webrtc.SettingEngine
	s.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled, ScopeLevels: map[string]logging.LogLevel{}}
	s.SetNetworkTypes(by.networks)
	s.SetIncludeLoopbackCandidate(isHere(r.base.Hostname()))
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	var config webrtc.Configuration
	if by.relay != nil {
		config.ICEServers, config.ICETransportPolicy = []webrtc.ICEServer{*by.relay}, webrtc.ICETransportPolicyRelay
	}
	if by.dial != nil {
		s.SetICEProxyDialer(by.dial)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(config)
	if err != nil {
		return nil, fmt.Errorf("make a peer connection: %w", err)
	}
	for _, label := range []string{"_reliable", "_lossy"} { // LiveKit's
		if _, err := pc.CreateDataChannel(label, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("make a data channel: %w", err), pc.Close())
		}
	}
	return pc, nil
}

// dialer connects to relays by TCP.
type dialer func(network, address string) (net.Conn, error)

// Dial is what pion calls.
func (d dialer) Dial(network, address string) (net.Conn, error) { return d(network, address) }

// describe makes an offer with all addresses.
func describe(ctx context.Context, pc *webrtc.PeerConnection) (string, error) {
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return "", fmt.Errorf("make an offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return "", fmt.Errorf("make an offer: %w", err)
	}
	select {
	case <-gathered:
	case <-ctx.Done(): // a relay that does not answer
	}
	return pc.LocalDescription().SDP, nil
}

// dial opens the WebSocket of signalling.
func (r *run) dial(ctx context.Context, jwt, offer string) (*websocket.Conn, error) {
	join := &signalling.JoinRequest{
		ConnectionSettings: &signalling.ConnectionSettings{AutoSubscribe: true},
		PublisherOffer:     &signalling.SessionDescription{Type: "offer", SDP: offer, ID: 1},
	}
	wrapped := signalling.Marshal(&signalling.WrappedJoinRequest{JoinRequest: signalling.Marshal(join)})
	q := url.Values{"access_token": {jwt}, "join_request": {base64.URLEncoding.EncodeToString(wrapped)}}
	conn, response, err := websocket.Dial(ctx, web(r.media, "/rtc/v1?"+q.Encode()), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: r.client.Transport}, HTTPHeader: http.Header{"Origin": {someOrigin}},
	})
	if err != nil && response != nil {
		a := &answer{status: response.StatusCode, header: response.Header}
		if response.Body != nil {
			a.body, _ = io.ReadAll(io.LimitReader(response.Body, maxWords)) // of what comes, as much as there is
		}
		return nil, a.refusal()
	}
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxFrame)
	return conn, nil
}

// listen does what clients do with messages of an SFU.
func (v *visit) listen(ctx context.Context, conn *websocket.Conn, pc *webrtc.PeerConnection, only netip.AddrPort) error {
	for {
		_, raw, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		m := new(signalling.SignalResponse)
		if err := signalling.Unmarshal(raw, m); err != nil {
			return fmt.Errorf("read a message of the SFU: %w", err)
		}
		switch {
		case m.Join != nil:
			v.joined = true
			v.servers = serversOf(m.Join)
		case m.Answer != nil:
			v.told = addresses(m.Answer.SDP)
			if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: without(m.Answer.SDP, only)}); err != nil {
				return fmt.Errorf("take the SFU's answer: %w", err)
			}
		case m.Trickle != nil && v.told != nil:
			v.further(pc, m.Trickle, only)
		case m.Leave != nil:
			return fmt.Errorf("%w, for reason %d", errPutOut, m.Leave.Reason)
		}
	}
}

// further takes an address that the SFU tells after its answer (RFC 8838); what is none is passed over, as clients do.
func (v *visit) further(pc *webrtc.PeerConnection, t *signalling.TrickleRequest, only netip.AddrPort) {
	var candidate webrtc.ICECandidateInit
	if json.Unmarshal([]byte(t.CandidateInit), &candidate) != nil {
		return
	}
	for _, one := range addresses("a=" + candidate.Candidate) {
		if !slices.Contains(v.told, one) {
			v.told = append(v.told, one)
		}
		if !only.IsValid() || one.address == only {
			_ = pc.AddICECandidate(candidate)
		}
	}
}

// addresses are those that a description names (RFC 8839, section 5.1).
func addresses(sdp string) []told {
	var all []told
	seen := map[told]bool{}
	for line := range strings.Lines(sdp) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "a=candidate:")
		f := strings.Fields(text)
		if !ok || len(f) < 8 {
			continue
		}
		ip, err1 := netip.ParseAddr(f[4])
		port, err2 := strconv.ParseUint(f[5], 10, 16)
		if t := (told{netip.AddrPortFrom(ip.Unmap(), uint16(port)), strings.EqualFold(f[2], "tcp")}); err1 == nil && err2 == nil && !seen[t] {
			seen[t] = true
			all = append(all, t)
		}
	}
	return all
}

// without leaves a description all but one of its addresses; none where that is the zero value.
func without(sdp string, only netip.AddrPort) string {
	if !only.IsValid() {
		return sdp
	}
	var left strings.Builder
	for line := range strings.Lines(sdp) {
		if all := addresses(line); len(all) == 1 && all[0].address != only {
			continue
		}
		left.WriteString(line)
	}
	return left.String()
}

// selected is the address that media goes to.
func selected(pc *webrtc.PeerConnection) string {
	if pc.SCTP() == nil || pc.SCTP().Transport() == nil {
		return ""
	}
	pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil || pair.Remote == nil {
		return ""
	}
	return net.JoinHostPort(pair.Remote.Address, strconv.Itoa(int(pair.Remote.Port)))
}

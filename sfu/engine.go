package sfu

import (
	"fmt"
	"net"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/sdp/v3"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// Header extensions.
const (
	uriTransportCC = sdp.TransportCCURI
	uriAudioLevel  = sdp.AudioLevelURI
	uriSendTime    = sdp.ABSSendTimeURI
	uriDescriptor  = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)

// How long a connection may be silent, until it is called disconnected, and failed; and how often it is kept alive.
const (
	iceDisconnected = 6 * time.Second
	iceFailed       = 25 * time.Second
	iceKeepAlive    = 2 * time.Second
)

// engine makes peer connections, all on the same sockets.
type engine struct {
	setting webrtc.SettingEngine
}

func newEngine(cfg *Config) (*engine, error) {
	e := &engine{}
	s := &e.setting
	// Being ICE-lite, the clients do the checks; being the server of DTLS, the client's first choice of cipher is taken: AES-GCM,
	// which costs a quarter of the others.
	s.SetLite(true)
	if err := s.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		return nil, fmt.Errorf("set the role in DTLS: %w", err)
	}
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	s.SetICETimeouts(iceDisconnected, iceFailed, iceKeepAlive)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetIncludeLoopbackCandidate(cfg.Loopback)
	s.DisableActiveTCP(true)
	var types []webrtc.NetworkType
	if cfg.UDP != nil {
		s.SetICEUDPMux(cfg.UDP)
		types = append(types, webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6)
	}
	if cfg.TCP != nil {
		s.SetICETCPMux(cfg.TCP)
		types = append(types, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	s.SetNetworkTypes(types)
	loopback, keep := cfg.Loopback, cfg.Addresses
	s.SetIPFilter(func(ip net.IP) bool {
		if ip.IsLoopback() && !loopback {
			return false
		}
		return keep == nil || keep(ip)
	})
	s.SetReceiveMTU(1600)
	s.SetSCTPMaxReceiveBufferSize(1 << 20)
	s.SetSCTPMaxMessageSize(maxDataPacket)
	s.SetDTLSInsecureSkipHelloVerify(true) // ICE has verified the address
	return e, nil
}

var videoFeedback = []webrtc.RTCPFeedback{
	{Type: webrtc.TypeRTCPFBTransportCC}, {Type: webrtc.TypeRTCPFBCCM, Parameter: "fir"},
	{Type: webrtc.TypeRTCPFBNACK}, {Type: webrtc.TypeRTCPFBNACK, Parameter: "pli"},
}

// codecs are those that can be published, as pairs of a codec and the payload type of what is sent again.
var videoCodecs = []struct {
	mime, fmtp string
	pt, rtx    webrtc.PayloadType
}{
	{webrtc.MimeTypeVP8, "", 96, 97},
	{webrtc.MimeTypeVP9, "profile-id=0", 98, 99},
	{webrtc.MimeTypeVP9, "profile-id=1", 108, 109},
	{webrtc.MimeTypeVP9, "profile-id=2", 100, 101},
	{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", 125, 107},
	{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f", 102, 103},
	{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f", 104, 105},
	{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f", 112, 113},
	{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640032", 123, 118},
	{webrtc.MimeTypeAV1, "level-idx=5;profile=0;tier=0", 45, 46},
}

const mimeTypeRED = "audio/red"

// mediaEngine has the codecs and header extensions that all of our connections know: those of a publisher's layers only where layers can come.
func mediaEngine(layers bool) (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	audio := []webrtc.RTPCodecParameters{
		{RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
			RTCPFeedback: []webrtc.RTCPFeedback{{Type: webrtc.TypeRTCPFBTransportCC}, {Type: webrtc.TypeRTCPFBNACK}},
		}, PayloadType: 111},
		{RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: mimeTypeRED, ClockRate: 48000, Channels: 2, SDPFmtpLine: "111/111",
		}, PayloadType: 63},
	}
	for _, c := range audio {
		if err := m.RegisterCodec(c, webrtc.RTPCodecTypeAudio); err != nil {
			return nil, fmt.Errorf("register %s: %w", c.MimeType, err)
		}
	}
	for _, c := range videoCodecs {
		for _, p := range []webrtc.RTPCodecParameters{
			{RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: c.mime, ClockRate: 90000, SDPFmtpLine: c.fmtp, RTCPFeedback: videoFeedback,
			}, PayloadType: c.pt},
			{RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: fmt.Sprintf("apt=%d", c.pt),
			}, PayloadType: c.rtx},
		} {
			if err := m.RegisterCodec(p, webrtc.RTPCodecTypeVideo); err != nil {
				return nil, fmt.Errorf("register %s: %w", c.mime, err)
			}
		}
	}
	return m, registerExtensions(m, layers)
}

func registerExtensions(m *webrtc.MediaEngine, layers bool) error {
	both := []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo}
	for _, e := range []struct {
		uri   string
		kinds []webrtc.RTPCodecType
		only  []webrtc.RTPTransceiverDirection
	}{
		{sdp.SDESMidURI, both, nil},
		{uriTransportCC, both, nil},
		{uriSendTime, both, nil},
		{uriAudioLevel, both[:1], []webrtc.RTPTransceiverDirection{webrtc.RTPTransceiverDirectionRecvonly}},
		{sdp.SDESRTPStreamIDURI, both[1:], []webrtc.RTPTransceiverDirection{webrtc.RTPTransceiverDirectionRecvonly}},
		{sdp.SDESRepairRTPStreamIDURI, both[1:], []webrtc.RTPTransceiverDirection{webrtc.RTPTransceiverDirectionRecvonly}},
		{uriDescriptor, both[1:], nil},
	} {
		if !layers && (e.uri == sdp.SDESRTPStreamIDURI || e.uri == sdp.SDESRepairRTPStreamIDURI) {
			continue
		}
		for _, kind := range e.kinds {
			if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: e.uri}, kind, e.only...); err != nil {
				return fmt.Errorf("register %s: %w", e.uri, err)
			}
		}
	}
	return nil
}

// connect makes a peer connection, of which the feedback on what goes out is handed to out, in knows what has come and is not read, and came tells
// the client what has come. reached is called when the client reaches us, which it does again and again.
func (e *engine) connect(out *transport, in *unread, came *arrivals, reached func()) (*webrtc.PeerConnection, error) {
	m, err := mediaEngine(true)
	if err != nil {
		return nil, err
	}
	// What goes out is numbered, reported and sent again by package track.
	registry := &interceptor.Registry{}
	registry.Add(came)
	setting := e.setting
	setting.BufferFactory = buffers(out, in)
	setting.SetICEBindingRequestHandler(func(*stun.Message, ice.Candidate, ice.Candidate, *ice.CandidatePair) bool {
		reached()
		return false
	})
	api := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(setting))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("make a peer connection: %w", err)
	}
	return pc, nil
}

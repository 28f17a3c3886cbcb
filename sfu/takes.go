package sfu

import (
	"maps"
	"slices"
	"strings"

	"causeway/sfu/track"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// takes are the codecs that a client takes, by the kind of a track, as far as its descriptions have told.
type takes map[webrtc.RTPCodecType][]webrtc.RTPCodecParameters

// maxTaken is how many codecs of one kind are looked at. We know a dozen.
const maxTaken = 64

// learn reads a description of the client, which is an offer (v1), or an answer to one of ours (v0). In a section in which it sends only, it says
// nothing of what it takes, and one that it refuses is about what was offered there.
func (t takes) learn(d *sdp.SessionDescription) {
	found := takes{}
	for _, m := range d.MediaDescriptions {
		kind := webrtc.NewRTPCodecType(m.MediaName.Media)
		_, sends := m.Attribute(sdp.AttrKeySendOnly)
		if kind != 0 && !sends && !isRefused(m) {
			found.section(kind, m)
		}
	}
	maps.Copy(t, found)
}

// isRefused is whether a media section is refused, or has ended. RFC 3264, section 6; RFC 9143, section 6.
func isRefused(m *sdp.MediaDescription) bool {
	_, bundled := m.Attribute("bundle-only") // has no port of its own
	return m.MediaName.Port.Value == 0 && !bundled
}

// refusedIn gives the sections of an offer that its answer refuses, by mid. Both have the same sections. RFC 3264, section 6.
func refusedIn(offer, answer *sdp.SessionDescription) map[string]bool {
	refused := map[string]bool{}
	for i, m := range offer.MediaDescriptions {
		if i < len(answer.MediaDescriptions) && isRefused(answer.MediaDescriptions[i]) {
			mid, _ := m.Attribute(sdp.AttrKeyMID)
			refused[mid] = true
		}
	}
	return refused
}

// section adds the codecs of a media section that we know, too.
func (t takes) section(kind webrtc.RTPCodecType, m *sdp.MediaDescription) {
	names, formats := map[string]string{}, map[string]string{}
	for _, a := range m.Attributes {
		payloadType, value, _ := strings.Cut(a.Value, " ")
		switch a.Key {
		case "rtpmap":
			name, _, _ := strings.Cut(value, "/")
			names[payloadType] = name
		case "fmtp":
			formats[payloadType] = strings.Clone(value) // not all of the description with it
		}
	}
	codecs := t[kind]
	for _, payloadType := range m.MediaName.Formats {
		c := webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: kind.String() + "/" + names[payloadType], SDPFmtpLine: formats[payloadType],
		}}
		known := !strings.EqualFold(c.MimeType, webrtc.MimeTypeRTX) && isEnabled(c.MimeType)
		if known && len(codecs) < maxTaken && !slices.ContainsFunc(codecs, func(other webrtc.RTPCodecParameters) bool {
			return strings.EqualFold(other.MimeType, c.MimeType) && other.SDPFmtpLine == c.SDPFmtpLine
		}) {
			codecs = append(codecs, c)
		}
	}
	t[kind] = codecs
}

// isEnabled is whether clients may publish in a codec.
func isEnabled(mimeType string) bool {
	for _, c := range enabledCodecs {
		if strings.EqualFold(c.MIME, mimeType) {
			return true
		}
	}
	return false
}

// up is whether the client takes what a track comes in, as far as that is known.
func (t takes) up(up *track.Up) bool {
	kind := webrtc.RTPCodecTypeAudio
	if up.Video() {
		kind = webrtc.RTPCodecTypeVideo
	}
	codecs, known := t[kind]
	_, ok := up.Choose(codecs)
	return ok || !known
}

// codec is whether it is known that the client takes a codec.
func (t takes) codec(mimeType string) bool {
	for _, codecs := range t {
		for _, c := range codecs {
			if strings.EqualFold(c.MimeType, mimeType) {
				return true
			}
		}
	}
	return false
}

// up is what the subscriber gets the track from: the first codec of it that the client takes. It is nil where there is none.
func (s *subscription) up() *track.Up {
	for _, up := range s.pub.allUps() {
		if s.p.takes.up(up) && !slices.Contains(s.refused, up) {
			return up
		}
	}
	return nil
}

// codec is that in which the subscriber gets the track, is to get it, or would get it if the publisher sent all that it has announced; "" for none.
func (s *subscription) codec() string {
	if s.down != nil {
		return s.down.Up().MIMEType
	}
	if up := s.up(); up != nil {
		return up.MIMEType
	}
	for _, c := range s.pub.info.Load().Codecs {
		refused := slices.ContainsFunc(s.refused, func(up *track.Up) bool { return strings.EqualFold(up.MIMEType, c.MIMEType) })
		if s.p.takes.codec(c.MIMEType) && !refused {
			return c.MIMEType
		}
	}
	return ""
}

package sfu

import (
	"maps"
	"testing"

	"github.com/pion/sdp/v3"
)

// parsed reads a description.
func parsed(t *testing.T, text string) *sdp.SessionDescription {
	t.Helper()
	d := new(sdp.SessionDescription)
	if err := d.UnmarshalString(text); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSections has an offer of Chromium, in short, whose last section was that of a screen that is shared no more.
func TestSections(t *testing.T) {
	const offer = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=sendonly\r\na=msid:voice microphone\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=msid:face camera\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:3\r\na=inactive\r\na=msid:desk screen\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:4\r\na=recvonly\r\na=msid:desk window\r\n"
	want := map[string][2]string{"1": {"microphone", "voice"}, "2": {"camera", "face"}}
	if got := sections(parsed(t, offer)); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

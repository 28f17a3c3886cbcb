package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestGroupCalls has three people in a group call by livekit-client in Chromium (testdata/group), who come to their tokens as clients of Matrix
// do: with one connection for all and with one for each direction, and with encryption end to end and without.
func TestGroupCalls(t *testing.T) {
	server := startServer(t, options{})
	for _, encrypted := range []string{"", "encrypted"} {
		for _, version := range []string{"v1", "v0"} {
			t.Run(version+encrypted, func(t *testing.T) {
				server.runNode(t, nil, "group/main.mjs", server.url(""), callFolder(t), version, encrypted)
			})
		}
	}
}

// TestGroupCallCodecs has three people in a group call in each of the codecs that TestGroupCalls has not: those whose layers are streams of their own, and
// those that have all layers in one. All is encrypted end to end but for AV1, which the library does not encrypt.
func TestGroupCallCodecs(t *testing.T) {
	server := startServer(t, options{})
	for _, codec := range []string{"vp9", "h264", "av1"} {
		t.Run(codec, func(t *testing.T) {
			server.runNode(t, nil, "group/codecs.mjs", server.url(""), callFolder(t), codec)
		})
	}
}

// TestElementCall has people in a call by Element Call itself, which the server serves from its npm package: they come by a link, see and hear each
// other, and are gone when they leave, are banned or their browser is killed. Who is in the call is state of the room, as all clients have it so far,
// and sticky events.
func TestElementCall(t *testing.T) {
	dist, err := filepath.Abs(filepath.Join("testdata", "node_modules", "@element-hq", "element-call-embedded", "dist"))
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"compatibility", "matrix_2_0"} {
		t.Run(mode, func(t *testing.T) {
			server := startServer(t, options{extra: fmt.Sprintf("calls: {page: %q}\nexperimental: {sticky_events: %t}\n", dist, mode == "matrix_2_0")})
			server.runNode(t, nil, "group/elementcall.mjs", server.url(""), callFolder(t), mode)
		})
	}
}

// TestElementCallAsWidget has people in a call by Element Call as a widget of their clients, as in Element Web and Element X.
func TestElementCallAsWidget(t *testing.T) {
	server := startServer(t, options{})
	server.runNode(t, nil, "group/widget.mjs", server.url(""), callFolder(t))
}

// callFolder is where the pictures of calls are kept.
func callFolder(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs("output/calls")
	if err == nil {
		err = os.MkdirAll(folder, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

package accountpages

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"strings"
	"time"

	"causeway/homeserver/callstatus"
	"causeway/homeserver/httpapi"
)

// pathCallScript is what has the page of calls shown anew. Without it, the page has a link for that.
const pathCallScript = callstatus.Path + "refresh.js"

//go:embed html/calls.js
var callScript []byte

// callRoutes are the page of the calls that run, of a server that has an SFU.
func (p *Pages) callRoutes() ([]pageRoute, []httpapi.Route) {
	if p.Calls == nil {
		return nil, nil
	}
	return []pageRoute{{callstatus.Path + "{$}", p.showCalls, nil, "", httpapi.ClassRead}},
		[]httpapi.Route{{Method: "GET", Path: pathCallScript, Access: httpapi.Public, Endpoint: httpapi.Raw(serveCallScript)}}
}

func serveCallScript(_ context.Context, w http.ResponseWriter, _ *httpapi.Request) error {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(callScript)
	return nil
}

// callsPage is what runs, and since when that is so.
type callsPage struct {
	callstatus.Status
	At      string
	Script  string
	Tools   string // where the JSON is
	Members int
}

// showCalls is GET /_causeway/calls/, for administrators.
func (p *Pages) showCalls(ctx context.Context, v *visit) error {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return err
	}
	if !v.browser.Admin {
		return httpapi.Forbidden("Only administrators of this server may see which calls run.")
	}
	page := callsPage{Status: p.Calls(ctx), At: time.Now().UTC().Format("15:04:05 UTC"), Script: pathCallScript, Tools: callstatus.StatusPath}
	for _, c := range page.Calls {
		page.Members += len(c.Members)
	}
	v.w.Header().Set("Content-Security-Policy", contentPolicy("'self'")+"; script-src 'self'; connect-src 'self'")
	v.show(http.StatusOK, "calls", page)
	return nil
}

// sourceNames are what is sent, for people.
var sourceNames = map[string]string{
	"camera": "Camera", "microphone": "Microphone", "screen_share": "Screen", "screen_share_audio": "Sound of the screen",
}

func sourceName(source string) string {
	if name := sourceNames[source]; name != "" {
		return name
	}
	return "Track"
}

// codecName is what people call a codec.
func codecName(codec string) string {
	if codec == "opus" {
		return "Opus"
	}
	return strings.ToUpper(codec)
}

// layerName is what a layer of a picture is called. Layers of one track are the same picture in several sizes.
func layerName(layer int) string {
	switch layer {
	case 0:
		return "low"
	case 1:
		return "middle"
	case 2:
		return "high"
	}
	return "nothing"
}

// bitrate shows bits per second.
func bitrate(bits int) string {
	switch {
	case bits >= 1_000_000:
		return fmt.Sprintf("%.1f Mbit/s", float64(bits)/1e6)
	case bits >= 1000:
		return fmt.Sprintf("%d kbit/s", (bits+500)/1000)
	}
	return fmt.Sprintf("%d bit/s", bits)
}

// percent shows a part of all.
func percent(part float64) string {
	if part == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*part)
}

package bridges

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"time"

	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
)

// MediaLinks is the part of the configuration about files from Matrix on networks that show no files: there is an address for each, where
// whoever knows it finds the file, also one of an encrypted room. Nobody can guess one.
type MediaLinks struct {
	// Expiry is how long an address holds. Without it there are none.
	Expiry time.Duration `yaml:"expiry"`
}

const (
	// MediaLinksPath is where the files of a bridge are, below its ID, on the homeserver's listener and on the bridge's Handler. What
	// follows is an ID, and a name that is not looked at.
	MediaLinksPath = "/_causeway/files"
	// minMediaExpiry is what a person on IRC has to open an address.
	minMediaExpiry = time.Minute
	maxMediaExpiry = 10 * 365 * 24 * time.Hour
	// mediaHash is the length of an ID, in bytes.
	mediaHash = 32
	// mediaForget is how long an address is remembered after its end.
	mediaForget = 24 * time.Hour
)

// Validate checks the configuration; errors name the field.
func (m MediaLinks) Validate() error {
	if m.Expiry != 0 && (m.Expiry < minMediaExpiry || m.Expiry > maxMediaExpiry) {
		return fmt.Errorf("expiry: must be 0, or from %v to ten years", minMediaExpiry)
	}
	return nil
}

// config is what bridgev2 takes.
func (m MediaLinks) config(bridge, key string) bridgeconfig.PublicMediaConfig {
	if m.Expiry == 0 {
		return bridgeconfig.PublicMediaConfig{}
	}
	return bridgeconfig.PublicMediaConfig{
		Enabled: true, SigningKey: key, Expiry: int(m.Expiry / time.Second), HashLength: mediaHash,
		PathPrefix: MediaLinksPath + "/" + bridge, UseDatabase: true,
	}
}

// fileSecret is the name of the secret that addresses are made with, in host_token.
const fileSecret = "media_links"

// serveFile has bridgev2 answer for a file. It comes from people, and this is the homeserver's own address: nothing in it may run.
func (b *Bridge) serveFile(w http.ResponseWriter, r *http.Request) {
	to := r.Clone(r.Context())
	to.URL.Path = "/_mautrix/publicmedia/" + r.PathValue("id")
	if r.PathValue("name") != "" {
		to.URL.Path += "/file"
	}
	to.URL.RawPath = ""
	b.conn.AS.Router.ServeHTTP(&harmless{ResponseWriter: w, name: r.PathValue("name")}, to)
}

// shownMedia are the types that a browser may show, and not only store.
var shownMedia = map[string]bool{
	"text/plain": true, "image/jpeg": true, "image/png": true, "image/gif": true, "image/webp": true, "image/apng": true, "image/avif": true,
	"video/mp4": true, "video/webm": true, "video/ogg": true, "audio/mp4": true, "audio/webm": true, "audio/aac": true, "audio/mpeg": true,
	"audio/ogg": true, "audio/wav": true, "audio/flac": true,
}

// harmless is an answer with headers of ours in place of those of the file.
type harmless struct {
	http.ResponseWriter
	name string
}

// WriteHeader implements http.ResponseWriter.
func (h *harmless) WriteHeader(status int) {
	header := h.Header()
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "application/octet-stream"
		header.Set("Content-Type", kind)
	}
	if status == http.StatusOK {
		disposition := "attachment"
		if shownMedia[kind] {
			disposition = "inline"
		}
		params := map[string]string{}
		if h.name != "" {
			params["filename"] = h.name
		}
		header.Set("Content-Disposition", mime.FormatMediaType(disposition, params))
		header.Set("Cache-Control", "private, max-age=3600")
	}
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	header.Del("Set-Cookie")
	h.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (h *harmless) Write(p []byte) (int, error) { return h.ResponseWriter.Write(p) }

// forgetFiles removes addresses that hold no more.
func (b *Bridge) forgetFiles(ctx context.Context) error {
	_, err := b.raw.Exec(ctx, `DELETE FROM public_media WHERE expiry > 0 AND expiry < $1`, time.Now().Add(-mediaForget).UnixNano())
	if err != nil {
		return fmt.Errorf("forget addresses of files: %w", err)
	}
	return nil
}

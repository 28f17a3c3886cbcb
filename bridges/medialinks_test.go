package bridges

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/crypto/attachment"
	"maunium.net/go/mautrix/event"

	"causeway/bridges/bridgetest"
)

// mediaStore is a homeserver that has files, by their IDs.
func mediaStore(next http.RoundTripper, files map[string][]byte, kind string) http.RoundTripper {
	return tripper(func(req *http.Request) (*http.Response, error) {
		if !strings.Contains(req.URL.Path, "/media/download/") {
			return next.RoundTrip(req)
		}
		resp := httptest.NewRecorder()
		file, ok := files[req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]]
		if !ok {
			resp.WriteHeader(http.StatusNotFound)
			return resp.Result(), nil
		}
		resp.Header().Set("Content-Type", kind)
		resp.Header().Set("Content-Disposition", "inline")
		resp.Header().Set("Set-Cookie", "a=b")
		_, _ = resp.Write(file)
		return resp.Result(), nil
	})
}

// open asks a bridge for what is at an address.
func open(t *testing.T, w *world, address string) *http.Response {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Host != "hs.test" || !strings.HasPrefix(u.Path, MediaLinksPath+"/loop/") {
		t.Fatalf("got address %q, %v", address, err)
	}
	resp := httptest.NewRecorder()
	path := MediaLinksPath + strings.TrimPrefix(u.EscapedPath(), MediaLinksPath+"/loop")
	w.Handler().ServeHTTP(resp, httptest.NewRequest(http.MethodGet, path, nil))
	return resp.Result()
}

// TestMediaLinks opens files by their addresses: one as it is, one of an encrypted room, and one that could run in a browser, as they may
// be shown; and none whose time is over, or whose address somebody has changed.
func TestMediaLinks(t *testing.T) {
	secret := []byte("<script>alert(1)</script> and more")
	keys := attachment.NewEncryptedFile()
	sealed := bytes.Clone(secret)
	keys.EncryptInPlace(sealed)
	for _, c := range []struct {
		name, kind, stored string
		content            event.MessageEventContent
		file               []byte
		shown              bool
	}{
		{"plain", "image/png", "image/png", event.MessageEventContent{URL: "mxc://hs.test/pic", FileName: "a b/c.png"}, secret, true},
		{"html", "text/html", "text/html", event.MessageEventContent{URL: "mxc://hs.test/pic", FileName: "x.html"}, secret, false},
		{"svg", "image/svg+xml", "image/svg+xml", event.MessageEventContent{URL: "mxc://hs.test/pic"}, secret, false},
		{"encrypted", "image/jpeg", "application/octet-stream", event.MessageEventContent{
			FileName: "x.jpg", Info: &event.FileInfo{MimeType: "image/jpeg"},
			File: &event.EncryptedFileInfo{EncryptedFile: *keys, URL: "mxc://hs.test/pic"},
		}, sealed, true},
		{"encrypted html", "text/html", "application/octet-stream", event.MessageEventContent{
			Info: &event.FileInfo{MimeType: "text/html"}, File: &event.EncryptedFileInfo{EncryptedFile: *keys, URL: "mxc://hs.test/pic"},
		}, sealed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			hs := bridgetest.NewHomeserver(t, "hs.test")
			w := startWith(t, hs, t.TempDir(), func(o *Options) {
				o.HomeserverURL, o.MediaLinks = "https://hs.test", MediaLinks{Expiry: time.Hour}
				o.Transport = mediaStore(hs, map[string][]byte{"pic": c.file}, c.stored)
			}, nil)
			address, err := w.conn.GetPublicMediaAddressForEvent(t.Context(), &c.content)
			if err != nil {
				t.Fatal(err)
			}
			resp := open(t, w, address)
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusOK || !bytes.Equal(body, secret) {
				t.Errorf("got %d with %q", resp.StatusCode, body)
			}
			kind, disposition := resp.Header.Get("Content-Type"), resp.Header.Get("Content-Disposition")
			if kind != c.kind || strings.HasPrefix(disposition, "inline") != c.shown || !c.shown && !strings.HasPrefix(disposition, "attachment") {
				t.Errorf("got type %q, disposition %q", kind, disposition)
			}
			if policy := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "sandbox; default-src 'none'") ||
				resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Set-Cookie") != "" {
				t.Errorf("got headers %v", resp.Header)
			}
			id := strings.Split(strings.TrimPrefix(address, "https://hs.test"+MediaLinksPath+"/loop/"), "/")[0]
			if got := open(t, w, strings.Replace(address, id, "A"+id[1:], 1)+"x"); id[0] != 'A' && got.StatusCode != http.StatusNotFound {
				t.Errorf("another address: got %d", got.StatusCode)
			}
			past := time.Now().Add(-time.Minute)
			if _, err := w.raw.Exec(t.Context(), `UPDATE public_media SET expiry=$1`, past.UnixNano()); err != nil {
				t.Fatal(err)
			}
			if got := open(t, w, address); got.StatusCode != http.StatusNotFound {
				t.Errorf("an address that holds no more: got %d", got.StatusCode)
			}
			if _, err := w.raw.Exec(t.Context(), `UPDATE public_media SET expiry=$1`, past.Add(-mediaForget).UnixNano()); err != nil {
				t.Fatal(err)
			}
			if err := w.forgetFiles(t.Context()); err != nil {
				t.Fatal(err)
			}
			var left int
			if err := w.raw.QueryRow(t.Context(), `SELECT COUNT(*) FROM public_media`).Scan(&left); err != nil || left != 0 {
				t.Errorf("%d addresses are remembered, %v", left, err)
			}
		})
	}
}

// TestNoMediaLinks has no addresses without the configuration.
func TestNoMediaLinks(t *testing.T) {
	w := startWith(t, bridgetest.NewHomeserver(t, "hs.test"), t.TempDir(), nil, nil)
	if got := w.conn.GetPublicMediaAddress("mxc://hs.test/pic"); got != "" {
		t.Errorf("got %q", got)
	}
	resp := httptest.NewRecorder()
	w.Handler().ServeHTTP(resp, httptest.NewRequest(http.MethodGet, MediaLinksPath+"/x/y", nil))
	if resp.Code != http.StatusNotFound {
		t.Errorf("got %d", resp.Code)
	}
	for _, expiry := range []time.Duration{time.Second, -time.Hour, maxMediaExpiry + 1} {
		if (MediaLinks{Expiry: expiry}).Validate() == nil {
			t.Errorf("an expiry of %v is accepted", expiry)
		}
	}
}

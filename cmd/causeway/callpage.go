package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// callPage is Element Call on this server's own address, from a folder with its files: the dist of the npm package
// @element-hq/element-call-embedded. Whoever has a link to a call needs nothing but a browser. Element Call makes its links and
// finds its parts at the root of the address, so that is where it is.
type callPage struct {
	files  fs.FS
	index  []byte // the page, whatever is behind /room/: the rest is done in the browser
	config []byte // config.json
	policy string // Content-Security-Policy
	begun  time.Time
	root   *os.Root
}

// callPagePaths are those at which the page is.
var callPagePaths = []string{"/{$}", "/login", "/register", "/room", "/room/"}

// callPageTypes are of files that a system may know nothing of.
var callPageTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".json": "application/json", ".map": "application/json",
	".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".png": "image/png", ".svg": "image/svg+xml", ".wasm": "application/wasm",
	".woff": "font/woff", ".woff2": "font/woff2",
}

// openCallPage reads what is in the folder that the configuration names; nil for none. media are the addresses of SFUs.
func openCallPage(cfg *Config, media ...string) (*callPage, error) {
	dir := cfg.Calls.Page
	if dir == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("calls.page: %w", err)
	}
	p := &callPage{files: root.FS(), begun: time.Now(), root: root}
	if p.index, err = fs.ReadFile(p.files, "index.html"); err != nil {
		return nil, errors.Join(notTheCallPage(p.files, dir, err), root.Close())
	}
	if p.config, err = callPageConfig(p.files, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("calls.page: %w", err), root.Close())
	}
	p.policy = callPagePolicy(p.index, cfg.BaseURL(), media)
	return p, nil
}

// notTheCallPage says that a folder has no page, and in which one below it there is one.
func notTheCallPage(files fs.FS, dir string, err error) error {
	for _, below := range []string{"dist", "package/dist"} {
		if _, err := fs.Stat(files, below+"/index.html"); err == nil {
			return fmt.Errorf("calls.page: %s is not the dist folder of Element Call: take %s", dir, filepath.Join(dir, below))
		}
	}
	return fmt.Errorf("calls.page: %s is not the dist folder of Element Call, package/dist in its npm package: %w", dir, err)
}

// callPageConfig is the config.json of the package, with this server as that of those who have no account elsewhere.
func callPageConfig(files fs.FS, cfg *Config) ([]byte, error) {
	config := map[string]any{}
	raw, err := fs.ReadFile(files, "config.json")
	if err == nil {
		err = json.Unmarshal(raw, &config)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("read config.json: %w", err)
	}
	config["default_server_config"] = map[string]any{"m.homeserver": map[string]string{"base_url": cfg.BaseURL(), "server_name": cfg.ServerName}}
	return json.Marshal(config)
}

// script is an element of HTML with its attributes and its text.
var script = regexp.MustCompile(`(?s)<script([^>]*)>(.*?)</script>`)

// callPagePolicy lets the page do what it has to: run its scripts and its WebAssembly, and reach the homeservers and the SFUs of others.
func callPagePolicy(index []byte, base string, media []string) string {
	scripts := "'self' 'wasm-unsafe-eval'"
	for _, s := range script.FindAllSubmatch(index, -1) {
		if bytes.Contains(s[1], []byte("src=")) {
			continue
		}
		sum := sha256.Sum256(s[2])
		scripts += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	reached := []string{base}
	for _, address := range media {
		// Where a WebSocket cannot be opened, clients ask by HTTP why.
		for _, origin := range []string{withoutPath(address), withoutPath(withScheme(address, "http"))} {
			if !slices.Contains(reached, origin) {
				reached = append(reached, origin)
			}
		}
	}
	return strings.Join([]string{
		"default-src 'none'", "script-src " + scripts, "worker-src 'self' blob: data:", "style-src 'self' 'unsafe-inline'",
		"font-src 'self' data:", "img-src 'self' blob: data: https:", "media-src 'self' blob: data:",
		"connect-src 'self' blob: data: https: wss: " + strings.Join(reached, " "),
		"manifest-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
	}, "; ")
}

// close closes the folder.
func (p *callPage) close() error {
	if p == nil {
		return nil
	}
	return p.root.Close()
}

// withoutPath is an address without its path: a policy that names a path allows that one alone.
func withoutPath(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// with has a handler serve the page, too.
func (p *callPage) with(next http.Handler) http.Handler {
	if p == nil {
		return next
	}
	mux := http.NewServeMux()
	for _, at := range callPagePaths {
		mux.HandleFunc("GET "+at, func(w http.ResponseWriter, r *http.Request) {
			p.send(w, r, "text/html; charset=utf-8", p.index)
		})
	}
	for _, below := range []string{"", "/room"} { // the page names its parts by where it is itself
		mux.HandleFunc("GET "+below+"/config.json", func(w http.ResponseWriter, r *http.Request) {
			p.send(w, r, "application/json", p.config)
		})
		mux.Handle("GET "+below+"/assets/", http.StripPrefix(below+"/", http.HandlerFunc(p.asset)))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, pattern := mux.Handler(r); pattern != "" {
			h.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// send answers with what was read at the start.
func (p *callPage) send(w http.ResponseWriter, r *http.Request, contentType string, content []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", p.begun, bytes.NewReader(content))
}

// asset answers with a file, whose name has the hash of its content in it. What is not below the folder is not there, by whatever path or link.
func (p *callPage) asset(w http.ResponseWriter, r *http.Request) {
	file, err := p.files.Open(r.URL.Path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	content, seeks := file.(io.ReadSeeker)
	if err != nil || !info.Mode().IsRegular() || !seeks {
		http.NotFound(w, r)
		return
	}
	contentType := callPageTypes[path.Ext(r.URL.Path)]
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", p.policy) // that of a worker is its own
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", info.ModTime(), content)
}

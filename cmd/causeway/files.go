package main

import (
	stdlog "log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/rs/zerolog"

	"causeway/bridges"
)

// withFiles has a handler serve the files of bridges, too.
func (set bridgeSet) withFiles(next http.Handler, log zerolog.Logger) http.Handler {
	mux := http.NewServeMux()
	for _, b := range set {
		reg := b.Registration()
		to, err := url.Parse(reg.URL)
		if err != nil {
			continue // it would be no registration
		}
		proxy := &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, to.Host
				// Nothing of who asks is anything to the bridge.
				r.Out.Header = http.Header{}
			},
			Transport: b.toBridge,
			ErrorLog:  stdlog.New(log.With().Str("part", "files").Logger(), "", 0),
		}
		prefix := bridges.MediaLinksPath + "/" + reg.ID
		mux.Handle("GET "+prefix+"/", http.StripPrefix(prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path, r.URL.RawPath = bridges.MediaLinksPath+r.URL.Path, ""
			proxy.ServeHTTP(w, r)
		})))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, bridges.MediaLinksPath+"/") {
			mux.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

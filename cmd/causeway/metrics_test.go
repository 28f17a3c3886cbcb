package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Who may see metrics, and in which form.
func TestMetricsHandler(t *testing.T) {
	const token = "0123456789abcdef"
	status := func(context.Context) servicesStatus {
		return servicesStatus{Running: true, Services: []serviceStatus{{ID: "bot", URL: "http://bot", Followed: true, Pos: 7, FailingTS: 1, LastError: "no \"answer\"\nat all"}}}
	}
	for _, test := range []struct {
		name, token, method, url, auth, accept string
		status                                 int
		kind                                   string
	}{
		{"this machine", "", "GET", "http://127.0.0.1:9008" + metricsPath, "", "", 200, prometheusText},
		{"by name", "", "GET", "http://localhost" + metricsPath, "", "", 200, prometheusText},
		{"of IPv6", "", "GET", "http://[::1]:9008" + metricsPath, "", "", 200, prometheusText},
		{"OpenMetrics", "", "GET", "http://[::1]" + metricsPath, "", "application/openmetrics-text; version=1.0.0,text/plain;q=0.5", 200, openMetricsText},
		{"a page's own name for this machine", "", "GET", "http://rebound.test:9008" + metricsPath, "", "", 403, ""},
		{"the token", token, "GET", "http://hs.test" + metricsPath, "Bearer " + token, "", 200, prometheusText},
		{"no token", token, "GET", "http://127.0.0.1" + metricsPath, "", "", 401, ""},
		{"an empty token", token, "GET", "http://127.0.0.1" + metricsPath, "Bearer ", "", 401, ""},
		{"another token", token, "GET", "http://127.0.0.1" + metricsPath, "Bearer " + token + "0", "", 401, ""},
		{"a token as a parameter", token, "GET", "http://127.0.0.1" + metricsPath + "?access_token=" + token, "", "", 401, ""},
		{"something else", "", "GET", "http://127.0.0.1/_matrix/client/versions", "", "", 404, ""},
		{"something else without a token", token, "GET", "http://127.0.0.1/", "", "", 401, ""},
		{"a change", "", "POST", "http://127.0.0.1" + metricsPath, "", "", 405, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, test.url, nil)
			if test.auth != "" {
				r.Header.Set("Authorization", test.auth)
			}
			if test.accept != "" {
				r.Header.Set("Accept", test.accept)
			}
			w := httptest.NewRecorder()
			metricsHandler(test.token, status).ServeHTTP(w, r)
			body := w.Body.String()
			if w.Code != test.status || test.status == 200 && w.Header().Get("Content-Type") != test.kind {
				t.Fatalf("got %d %s: %s", w.Code, w.Header().Get("Content-Type"), body)
			}
			if told := strings.Contains(body, `causeway_appservice_last_error{service="bot",error="no \"answer\"\nat all"} 1`+"\n") &&
				strings.Contains(body, `causeway_appservice_position{service="bot"} 7`+"\n"); told != (w.Code == http.StatusOK) {
				t.Errorf("got %d: %s", w.Code, body)
			}
			if end := strings.HasSuffix(body, "# EOF\n"); end != (test.kind == openMetricsText) {
				t.Errorf("got %s", body)
			}
		})
	}
}

// Metrics that strangers could reach need a token.
func TestMetricsConfig(t *testing.T) {
	for _, test := range []struct {
		listen, token string
		bad           string // the key
	}{
		{"", "", ""},
		{"127.0.0.1:9008", "", ""},
		{"[::1]:9008", "", ""},
		{"localhost:9008", "", ""},
		{"0.0.0.0:9008", "0123456789abcdef", ""},
		{":9008", "", "metrics.listen"},
		{"0.0.0.0:9008", "", "metrics.listen"},
		{"10.0.0.1:9008", "", "metrics.listen"},
		{"127.0.0.1.example.org:9008", "", "metrics.listen"},
		{"9008", "", "metrics.listen"},
		{"127.0.0.1:9008", "short", "metrics.token"},
		{"", "with a space in it", "metrics.token"},
	} {
		t.Run(test.listen+" "+test.token, func(t *testing.T) {
			got := ""
			MetricsConfig{test.listen, test.token}.check(func(key, format string, args ...any) {
				got = key
				if text := fmt.Sprintf(format, args...); test.token != "" && strings.Contains(text, test.token) {
					t.Errorf("the token is in %q", text)
				}
			})
			if got != test.bad {
				t.Errorf("got %q, want %q", got, test.bad)
			}
		})
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"causeway/sfu/probe"
)

// freeMedia is an address of loopback whose port nobody has, for UDP and TCP.
func freeMedia(t *testing.T) string {
	t.Helper()
	for range 20 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := listener.Addr().String()
		conn, err := net.ListenPacket("udp", at)
		_ = listener.Close()
		if err == nil {
			_ = conn.Close()
			return at
		}
	}
	t.Fatal("no port is free")
	return ""
}

// doctor has a server's calls tested, and returns the exit code and what was found, by the names of checks.
func (s *callServer) doctor(args ...string) (int, map[string]probe.Check) {
	s.t.Helper()
	code, out, errOut := s.doctorText(append(args, "--json")...)
	var report probe.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		s.t.Fatalf("%v: %s %s", err, out, errOut)
	}
	found := map[string]probe.Check{}
	for _, c := range report.Checks {
		found[c.Name] = c
		s.t.Logf("%s %s: %s → %s", c.Name, c.Status, c.Text, c.Advice)
	}
	return code, found
}

func (s *callServer) doctorText(args ...string) (code int, out, errOut string) {
	s.t.Helper()
	var o, e bytes.Buffer
	code = run(s.t.Context(), append([]string{"doctor", "calls", "--url", s.base}, args...), streams{in: strings.NewReader("correct horse battery\n"), out: &o, err: &e})
	return code, o.String(), e.String()
}

// mediaAt has a server take media on loopback alone, and no TURN.
func mediaAt(t *testing.T) func(*Config) {
	at := freeMedia(t)
	return func(c *Config) { c.Calls.Listen, c.TURN.Enabled = at, false }
}

// TestDoctorCalls tests a server whose calls work in all ways, and one that is asked by nobody.
func TestDoctorCalls(t *testing.T) {
	certificate, key := writeCertificate(t, t.TempDir(), 1)
	s := startCallServer(t, mediaAt(t), func(c *Config) {
		c.TURN.Enabled, c.TURN.Listen = true, []string{"127.0.0.1:0"}
		c.TURN.TLS = TURNTLSConfig{Listen: []string{"127.0.0.1:0"}, Certificate: certificate, Key: key}
	})
	alice := s.register("alice")
	code, found := s.doctor("--user", "alice", "--ca", certificate)
	for _, name := range []string{
		"server", "clock", "well_known", "login", "transports", "transports_unstable", "room", "openid", "token_legacy", "token_service", "token",
		"token_unstable", "validate", "websocket", "addresses", "udp", "tcp", "turn", "turn_udp", "turn_tcp", "turn_tls",
	} {
		if found[name].Status != probe.OK {
			t.Errorf("%s: got %+v, want ok", name, found[name])
		}
	}
	if code != exitOK || found["certificate"].Status != probe.Skipped || len(found) != 22 {
		t.Errorf("got exit code %d, %d checks and %+v of the certificate", code, len(found), found["certificate"])
	}
	// Nothing is left of it.
	if rooms := s.ok("GET", client+"/joined_rooms", alice, "")["joined_rooms"].([]any); len(rooms) != 0 {
		t.Errorf("rooms are left: %v", rooms)
	}
	if devices := s.ok("GET", client+"/devices", alice, "")["devices"].([]any); len(devices) != 1 {
		t.Errorf("devices are left: %v", devices)
	}

	if code, out, errOut := s.doctorText("--user", "alice", "--ca", certificate); code != exitOK || !strings.HasSuffix(out, "\nNothing is wrong with what was tested.\n") {
		t.Errorf("the password by standard input: %d\n%s%s", code, out, errOut)
	}
	code, out, errOut := s.doctorText()
	if code != exitOK || !strings.Contains(out, "Nobody is signed in: give --user") || !strings.Contains(out, "Media by TCP is not tested without an account.") || !strings.Contains(out, "Nothing is wrong with what was tested.") {
		t.Errorf("without an account: %d\n%s%s", code, out, errOut)
	}
	code, out, errOut = s.doctorText("--token", alice)
	if code != exitFailure || !strings.Contains(out, "FAILED   TURN by TLS does not work") || !strings.Contains(out, "signed by nobody whom clients trust") ||
		!strings.Contains(out, "What to do: Have turn.tls.certificate be one of a public authority for 127.0.0.1") || !strings.Contains(errOut, "something is wrong with calls") {
		t.Errorf("a certificate that nobody trusts: %d\n%s%s", code, out, errOut)
	}
	if s.ok("GET", client+"/account/whoami", alice, "")["user_id"] != "@alice:localhost" {
		t.Error("the session of the access token has ended")
	}
}

// TestDoctorCallsFaults has faults of operators told in words.
func TestDoctorCallsFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		check  string
		status probe.Status
		text   string
		advice string
	}{
		{"media at an address that nobody is told", func(c *Config) { c.Calls.PublicIPs = []string{"192.0.2.1"} }, "address", probe.Warning,
			"Clients are told to send media to 192.0.2.1:", "set calls.public_ips"},
		{"no TURN", nil, "turn", probe.Failed, "There is no TURN server: people behind firewalls cannot call each other", "turn.enabled to true"},
		{"TURN without TLS", func(c *Config) { c.TURN.Enabled, c.TURN.Listen = true, []string{"127.0.0.1:0"} }, "turn_tls", probe.Warning,
			"There is no TURN by TLS", "Set turn.tls"},
		{"TURN elsewhere, with another secret", func(c *Config) {
			c.TURN.Enabled, c.TURN.URIs, c.TURN.Secret = true, []string{"turn:127.0.0.1:9?transport=tcp"}, "secret"
		}, "turn_tcp", probe.Failed, "TURN by TCP does not work", "Let port 9/tcp through the firewall, and have the router hand it on to the TURN server. If 127.0.0.1 is not its address, set turn.host"},
		{"TURN at a name that there is not", func(c *Config) {
			c.TURN.Enabled, c.TURN.URIs, c.TURN.Secret = true, []string{"turn:nowhere.invalid:3478?transport=tcp"}, "secret"
		}, "turn_tcp", probe.Failed, "there is no host nowhere.invalid", "Correct turn.host (or turn.uris), or the DNS"},
		{"relays at an address that is another's", func(c *Config) {
			c.TURN.Enabled, c.TURN.Listen, c.Calls.PublicIPs = true, []string{"127.0.0.1:0"}, []string{"192.0.2.1"}
		}, "turn_udp", probe.Failed, "media does not get through by it to the SFU", "Set turn.public_addresses, or calls.public_ips"},
		{"TURN while the SFU is not reached", func(c *Config) {
			c.TURN.Enabled, c.TURN.Listen, c.PublicURL = true, []string{"127.0.0.1:0"}, "http://127.0.0.1:9"
		}, "turn_udp", probe.Skipped, "TURN by UDP gives a relay at turn:127.0.0.1:", ""},
		{"another public_url", func(c *Config) { c.PublicURL = "http://127.0.0.1:9" }, "well_known", probe.Failed,
			"Clients are told that the server is at http://127.0.0.1:9, but it is asked at", "Set public_url"},
		{"tokens at another public_url", func(c *Config) { c.PublicURL = "http://127.0.0.1:9" }, "token_legacy", probe.Failed,
			"http://127.0.0.1:9/livekit/jwt/sfu/get gives no access token for a call: nothing listens there", "/livekit/jwt/"},
		{"no calls", func(c *Config) { c.Calls.Enabled = false }, "transports", probe.Failed,
			"There are no group calls: /_matrix/client/v1/rtc/transports is not there", "Set calls.enabled to true"},
		{"a LiveKit that does not run", func(c *Config) {
			c.Calls.SFU.LiveKit = LiveKitConfig{URL: "ws://127.0.0.1:9", Key: "key", Secret: strings.Repeat("s", 32)}
		}, "token", probe.Failed, "it answers 503 M_UNKNOWN: The SFU at ws://127.0.0.1:9 (calls.sfu.livekit) cannot be reached", "Look whether the SFU runs"},
		{"a node that does not run", func(c *Config) {
			c.Calls.SFU.Secret, c.Calls.SFU.Nodes = strings.Repeat("s", 32), []NodeConfig{{URL: "ws://127.0.0.1:9"}}
		}, "token", probe.Failed, "it answers 503 M_UNKNOWN: No server for calls answers", "Look whether the SFU runs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startCallServer(t, mediaAt(t), func(c *Config) {
				if test.change != nil {
					test.change(c)
				}
			})
			code, found := s.doctor("--token", s.register("alice"), "--wait", "2s")
			got := found[test.check]
			if got.Status != test.status || !strings.Contains(got.Text, test.text) || !strings.Contains(got.Advice, test.advice) {
				t.Errorf("%s: got %+v, want %s, %q and %q", test.check, got, test.status, test.text, test.advice)
			}
			if test.status == probe.Failed && code != exitFailure {
				t.Errorf("got exit code %d, want %d", code, exitFailure)
			}
		})
	}
}

// TestDoctorCallsNode has media go by the TURN of the node on which the call is, and asks that of the homeserver for relays alone.
func TestDoctorCallsNode(t *testing.T) {
	node := defaultConfig()
	dir := t.TempDir()
	node.Role, node.Listen, node.Calls.Listen, node.Calls.SFU.Secret = roleSFU, freeMedia(t), freeMedia(t), testNodeSecret
	node.TURN.Listen = []string{"127.0.0.1:0"}
	node.resolve(func(string) string { return dir })
	n := &callServer{t: t, cfg: node}
	n.start()
	t.Cleanup(func() { n.stop() })
	s := startCallServer(t, func(c *Config) {
		c.TURN.Enabled, c.TURN.Listen = true, []string{"127.0.0.1:0"}
		c.Calls.SFU.Secret, c.Calls.SFU.Nodes = testNodeSecret, []NodeConfig{{URL: "ws://" + node.Listen}}
	})
	_, found := s.doctor("--token", s.register("alice"))
	for name, text := range map[string]string{
		"udp": "Media gets through by UDP", "turn_udp": "for calls of two", "turn_tcp": "for calls of two",
		"sfu_turn_udp": "Media gets through by the SFU's own TURN by UDP", "sfu_turn_tcp": "Media gets through by the SFU's own TURN by TCP",
	} {
		if got := found[name]; got.Status != probe.OK || !strings.Contains(got.Text, text) {
			t.Errorf("%s: got %+v, want ok and %q", name, got, text)
		}
	}
}

// TestDoctorCallsVerdict has what was found summed up.
func TestDoctorCallsVerdict(t *testing.T) {
	failed, warned, skipped := probe.Check{Status: probe.Failed}, probe.Check{Status: probe.Warning}, probe.Check{Status: probe.Skipped}
	for want, report := range map[string]probe.Report{
		"1 of 2 checks failed.\n": {Checks: []probe.Check{failed, warned}},
		"1 of 1 checks failed.\nNobody can be in a group call from here.\n": {Checks: []probe.Check{failed}, Blocked: true},
		"Calls work, but not for everybody: there is a warning.\n":          {Checks: []probe.Check{warned, skipped}},
		"Calls work, but not for everybody: there are 2 warnings.\n":        {Checks: []probe.Check{warned, warned}},
		"Nothing is wrong with what was tested.\n":                          {Checks: []probe.Check{skipped}},
		"Calls work.\n": {},
	} {
		var out bytes.Buffer
		(&checkLines{w: &out}).end(&report)
		if got := out.String(); got != "\n"+want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestDoctorCallsLogin is about accounts that cannot be used, and command lines.
func TestDoctorCallsLogin(t *testing.T) {
	s := startCallServer(t, mediaAt(t))
	alice := s.register("alice")
	s.ok(http.MethodPost, client+"/logout", alice, `{}`)
	if code, found := s.doctor("--token", alice); code != exitFailure || !strings.Contains(found["login"].Text, "The access token has expired") {
		t.Errorf("a token that has expired: %d, %+v", code, found["login"])
	}
	if code, found := s.doctor("--user", "alice", "--password", "wrong"); code != exitFailure || !strings.Contains(found["login"].Advice, "the password") {
		t.Errorf("a wrong password: %d, %+v", code, found["login"])
	}
	for _, args := range [][]string{{"--token", "x", "--user", "y"}, {"--password", "x"}, {"--wait", "0s"}, {"--url", "ftp://x"}, {"--ca", "/nowhere"}, {"more"}} {
		if code, out, errOut := s.doctorText(args...); code != exitUsage {
			t.Errorf("%v: got exit code %d, want %d: %s%s", args, code, exitUsage, out, errOut)
		}
	}
}

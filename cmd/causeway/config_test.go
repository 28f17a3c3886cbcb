package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// decodeOnly runs the decoder without checks, paths or environment.
func decodeOnly(t *testing.T, raw string) *Config {
	t.Helper()
	cfg := defaultConfig()
	d := newDecoder("causeway.yaml")
	d.decodeFile([]byte(raw), cfg)
	if err := d.err(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestExampleHoldsTheDefaults(t *testing.T) {
	if got, want := decodeOnly(t, string(exampleConfig)), defaultConfig(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestExampleMentionsEveryKey looks for each key as a line of its own,
// commented out or not, so that a new key cannot stay undocumented.
func TestExampleMentionsEveryKey(t *testing.T) {
	for _, field := range envFields("", reflect.ValueOf(defaultConfig()).Elem()) {
		names := strings.Split(field.key, ".")
		if !mentions(names[len(names)-1]) {
			t.Errorf("the example does not mention %s", field.key)
		}
	}
	for _, name := range elementKeys(reflect.TypeFor[Config]()) {
		if !mentions(name) {
			t.Errorf("the example does not mention %s, a key of a list's or a map's entries", name)
		}
	}
}

func mentions(key string) bool {
	for line := range strings.Lines(string(exampleConfig)) {
		line = strings.TrimLeft(line, "#- ")
		if strings.HasPrefix(line, key+":") || strings.Contains(line, "{"+key+":") || strings.Contains(line, ", "+key+":") {
			return true
		}
	}
	return false
}

// elementKeys lists the keys of structs inside maps and lists, which have no
// variable of the environment.
func elementKeys(typ reflect.Type) []string {
	var keys []string
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			if typ.Field(i).IsExported() {
				keys = append(keys, elementKeys(typ.Field(i).Type)...)
			}
		}
	case reflect.Slice, reflect.Map:
		if elem := typ.Elem(); elem.Kind() == reflect.Struct {
			keys = structKeys(elem)
		}
		keys = append(keys, elementKeys(typ.Elem())...)
	}
	return keys
}

// structKeys lists all keys of a struct and of those inside it.
func structKeys(typ reflect.Type) []string {
	var keys []string
	for name, field := range structFields(reflect.New(typ).Elem()) {
		keys = append(keys, name)
		if field.Kind() == reflect.Struct {
			keys = append(keys, structKeys(field.Type())...)
		}
	}
	return keys
}

// TestExampleNetwork uncomments the network of the example.
func TestExampleNetwork(t *testing.T) {
	var lines []string
	for line := range strings.Lines(string(exampleConfig)) {
		if rest, ok := strings.CutPrefix(line, "    #  "); ok {
			line = "      " + rest
		}
		lines = append(lines, line)
	}
	cfg, err := parseConfig("causeway.yaml", []byte(strings.Join(lines, "")), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.Bridges.IRC.Networks["libera"]
	if !got.TLS || got.Address != "irc.libera.chat:6697" || got.Connect.RetryMax != 5*time.Minute {
		t.Errorf("got %+v", got)
	}
}

func TestConfigProblems(t *testing.T) {
	tests := []struct {
		name, yaml string
		env        []string
		want       []string // lines
	}{
		{name: "empty file"},
		{name: "comment only", yaml: "# nothing\n"},
		{name: "section without a value", yaml: "log:\n"},
		{
			name: "value that makes no sense", yaml: "server_name: example.org\nlisten: abc\n",
			want: []string{`causeway.yaml:2: listen: "abc" is not host:port`},
		},
		{
			name: "isolation that there is not", yaml: "bridges:\n  irc:\n    isolation: jail\n",
			want: []string{`causeway.yaml:3: bridges.irc.isolation: "jail" is neither none nor process`},
		},
		{
			name: "level that there is not", yaml: "bridges:\n  irc:\n    permissions:\n      \"@a:example.org\": boss\n",
			want: []string{`causeway.yaml:4: bridges.irc.permissions.@a:example.org: "boss" is not one of admin, block, commands, relay, user`},
		},
		{
			name: "network that is not in this program", yaml: "bridges:\n  parrot:\n    enabled: true\n",
			want: []string{"causeway.yaml:2: bridges.parrot: is not a known key"},
		},
		{
			name: "room version that there is not", yaml: "default_room_version: 13\n",
			want: []string{`causeway.yaml:1: default_room_version: "13" is no room version that this server knows: it knows 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12`},
		},
		{
			name: "unknown key", yaml: "servername: example.org\n",
			want: []string{"causeway.yaml:1: servername: is not a known key; did you mean server_name?"},
		},
		{
			name: "unknown key that resembles nothing", yaml: "log:\n  zebra: 1\n",
			want: []string{"causeway.yaml:2: log.zebra: is not a known key"},
		},
		{
			name: "key given twice", yaml: "listen: :1\nlisten: :2\n",
			want: []string{"causeway.yaml:2: listen: is given twice"},
		},
		{
			name: "everything at once",
			yaml: "rate_limits:\n  enabled: 7\n  message: {per_second: -1, burst: many}\nregistration: yes please\n" +
				"appservices: [a]\nlog:\n  level: loud\n  format: xml\ntrusted_proxies: 10.0.0.1\ndatabase: mysql://root:secret@db/x\n",
			want: []string{
				`causeway.yaml:2: rate_limits.enabled: must be true or false, not "7"`,
				`causeway.yaml:3: rate_limits.message.burst: must be a whole number, not "many"`,
				`causeway.yaml:3: rate_limits.message.per_second: must be more than 0; to switch limits off, set rate_limits.enabled to false`,
				`causeway.yaml:4: registration: must be a section with keys of its own, not "yes please"`,
				`causeway.yaml:5: appservices: must be a section with keys of its own, not a list`,
				`causeway.yaml:7: log.level: "loud" is not one of trace, debug, info, warn, error`,
				`causeway.yaml:8: log.format: "xml" is not one of auto, text, json`,
				`causeway.yaml:9: trusted_proxies: must be a list, not "10.0.0.1"`,
				`causeway.yaml:10: database: is neither empty, nor sqlite:FILE, nor a postgres:// URL`,
			},
		},
		{
			name: "list item", yaml: "trusted_proxies:\n  - 10.0.0.0/8\n  - proxy.local\n",
			want: []string{`causeway.yaml:3: trusted_proxies[1]: "proxy.local" is neither an IP address nor a network such as 10.0.0.0/8`},
		},
		{
			name: "networks",
			yaml: "bridges:\n  irc:\n    networks:\n      broken:\n        tls: false\n      odd:\n        address: nowhere\n        flood: {interval: 2}\n",
			want: []string{
				`causeway.yaml:4: bridges.irc.networks.broken.address: missing; it is host:port`,
				`causeway.yaml:7: bridges.irc.networks.odd.address: "nowhere" is not host:port`,
				`causeway.yaml:8: bridges.irc.networks.odd.flood.interval: must be a duration such as 30s, 5m or 7d, not "2"`,
			},
		},
		{
			name: "network from the environment",
			env:  []string{"CAUSEWAY_BRIDGES_IRC={networks: {local: {address: irc:6667, tsl: false}}}"},
			want: []string{`CAUSEWAY_BRIDGES_IRC: bridges.irc.networks.local.tsl: is not a known key; did you mean tls?`},
		},
		{
			name: "not YAML", yaml: "listen: [\n",
			want: []string{"causeway.yaml:1: did not find expected node content"},
		},
		{
			name: "alias inside itself", yaml: "bridges: &a {irc: *a}\nlog: &b {level: *b}\n",
			want: []string{
				`causeway.yaml:1: bridges.irc.irc: is not a known key`,
				`causeway.yaml:2: log.level: must be text (put it in quotes), not a section`,
			},
		},
		{
			name: "environment", yaml: "listen: 127.0.0.1:1\n",
			env: []string{"CAUSEWAY_LISTEN=abc", "CAUSEWAY_REGISTRATION_OPEN=maybe", "CAUSEWAY_LISTN=:1", "CAUSEWAY_RATE_LIMITS_LOGIN_BURST=[", "HOME=/"},
			want: []string{
				`CAUSEWAY_LISTEN: listen: "abc" is not host:port`,
				`CAUSEWAY_LISTN: is not a known setting; did you mean CAUSEWAY_LISTEN?`,
				`CAUSEWAY_RATE_LIMITS_LOGIN_BURST: rate_limits.login.burst: did not find expected node content`,
				`CAUSEWAY_REGISTRATION_OPEN: registration.open: must be true or false, not "maybe"`,
			},
		},
		{
			name: "variables of others",
			env:  []string{"CAUSEWAY_PORT=tcp://10.0.0.1:80", "CAUSEWAY_SERVICE_HOST=10.0.0.1", "CAUSEWAY_TEST_POSTGRES=postgres://x/y"},
		},
		{
			name: "support", yaml: "support: {contacts: [{role: m.role.admin}, {matrix_id: admin, email_address: admin}], page: help}\n",
			want: []string{
				`causeway.yaml:1: support.contacts[0]: needs a matrix_id or an email_address`,
				`causeway.yaml:1: support.contacts[1].email_address: "admin" is not an address`,
				`causeway.yaml:1: support.contacts[1].matrix_id: "admin" is not a user ID`,
				`causeway.yaml:1: support.contacts[1].role: must not be empty: m.role.admin or m.role.security`,
				`causeway.yaml:1: support.page: "help" is not an http:// or https:// address`,
			},
		},
		{
			name: "public URL with a path", yaml: "public_url: https://example.org/matrix\n",
			want: []string{`causeway.yaml:1: public_url: "https://example.org/matrix" must be a scheme and a host, nothing more`},
		},
		{
			name: "maintenance",
			yaml: "maintenance:\n  schedule: nightly\n  redacted_keep: -1h\n  forgotten_keep: 1w\n  retention:\n    default_lifetime: 1s\n" +
				"    min_lifetime: 2d\n    max_lifetime: 1d\n",
			want: []string{
				`causeway.yaml:2: maintenance.schedule: "nightly" is not a time as of cron (expected exactly 5 fields, found 1: [nightly]): minute, hour, day, month, day of the week (0 is Sunday), such as "30 3 * * *"`,
				`causeway.yaml:3: maintenance.redacted_keep: must not be negative`,
				`causeway.yaml:4: maintenance.forgotten_keep: must be a duration such as 30s, 5m or 7d, not "1w"`,
				`causeway.yaml:6: maintenance.retention.default_lifetime: must be 0, or 1m0s at least`,
				`causeway.yaml:7: maintenance.retention.min_lifetime: must not be more than max_lifetime`,
			},
		},
		{
			name: "accounts",
			yaml: "registration:\n  shared_secret: short\n  usernames: {pattern: \"(\", min_length: 0}\n  terms:\n    privacy: {version: \"1\", languages: {en: {name: x}}}\n    none: {}\n" +
				"  captcha: {public_key: x}\nsessions: {access_token_lifetime: 1s, session_lifetime: -1h}\njwt: {enabled: true, algorithm: none}\n",
			want: []string{
				`causeway.yaml:2: registration.shared_secret: must have at least 8 bytes`,
				`causeway.yaml:3: registration.usernames.min_length: must be from 1 to 255`,
				"causeway.yaml:3: registration.usernames.pattern: is not a regular expression: error parsing regexp: missing closing ): `(`",
				`causeway.yaml:5: registration.terms.privacy.languages.en: must have a name and a url that begins with https:// or http://`,
				`causeway.yaml:6: registration.terms.none: must have a version and a language`,
				`causeway.yaml:7: registration.captcha.private_key: must not be empty`,
				`causeway.yaml:8: sessions.access_token_lifetime: must be 0 or at least 10s`,
				`causeway.yaml:8: sessions.session_lifetime: must be 0 or at least 10s`,
				`causeway.yaml:9: jwt.algorithm: must be one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA`,
			},
		},
		{
			name: "keys of tokens", yaml: "jwt: {enabled: true, secret: secret}\n",
			want: []string{`causeway.yaml:1: jwt.secret: must have at least 32 bytes`},
		},
		{
			name: "public keys of tokens", yaml: "jwt: {enabled: true, algorithm: RS256, secret: secret}\n",
			want: []string{`causeway.yaml:1: jwt.secret: must be a public key in PEM`},
		},
		{
			name: "time that never comes", yaml: "maintenance: {schedule: 0 0 31 2 *}\n",
			want: []string{`causeway.yaml:1: maintenance.schedule: "0 0 31 2 *" is a time that never comes`},
		},
		{
			name: "server name that is a URL", yaml: "server_name: https://example.org\n",
			want: []string{`causeway.yaml:1: server_name: "https://example.org" is not a server name: "//example.org" is not a port`},
		},
		{
			name: "postgres without a database", yaml: "database: postgres://localhost/\n",
			want: []string{`causeway.yaml:1: database: the postgres:// URL names no database`},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseConfig("causeway.yaml", []byte(test.yaml), test.env)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if want := strings.Join(test.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestConfigPaths(t *testing.T) {
	workDir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, yaml                string
		env                       []string
		data, database, regFolder string
	}{
		{
			name: "defaults lie beside the file",
			data: "/etc/cw", database: "/etc/cw/causeway.db", regFolder: "/etc/cw/registration",
		},
		{
			name: "relative to the file", yaml: "data_dir: ../data\ndatabase: sqlite:db/x.db\nappservices: {dir: as}\n",
			data: "/etc/data", database: "/etc/cw/db/x.db", regFolder: "/etc/cw/as",
		},
		{
			name: "from the environment", env: []string{"CAUSEWAY_DATA_DIR=data"},
			data: filepath.Join(workDir, "data"), database: filepath.Join(workDir, "data/causeway.db"), regFolder: "/etc/cw/registration",
		},
		{
			name: "postgres stays", yaml: "data_dir: /var/cw\ndatabase: postgres://u:p@h/d\n",
			data: "/var/cw", database: "postgres://u:p@h/d", regFolder: "/etc/cw/registration",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := parseConfig("/etc/cw/causeway.yaml", []byte(test.yaml), test.env)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{cfg.DataDir, cfg.Database, cfg.AppServices.Dir}
			if want := []string{test.data, test.database, test.regFolder}; !reflect.DeepEqual(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	cfg, err := parseConfig("causeway.yaml", []byte("listen: 127.0.0.1:1\nregistration: {open: false}\n"), []string{
		"CAUSEWAY_LISTEN=:8448", "CAUSEWAY_REGISTRATION_OPEN=true", "CAUSEWAY_TRUSTED_PROXIES=10.0.0.0/8, ::1",
		"CAUSEWAY_RATE_LIMITS_MESSAGE_PER_SECOND=2.5", "CAUSEWAY_SERVER_NAME=123.example.org",
		"CAUSEWAY_LOG={level: debug, format: json}", "CAUSEWAY_LOG_LEVEL=warn",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.Listen, want.Registration.Open, want.TrustedProxies = ":8448", true, []string{"10.0.0.0/8", "::1"}
	want.RateLimits.Message.PerSecond, want.ServerName = 2.5, "123.example.org"
	want.Log = LogConfig{Level: "warn", Format: logJSON}
	want.DataDir, want.Database, want.AppServices.Dir = cfg.DataDir, cfg.Database, cfg.AppServices.Dir
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
}

func TestEnvironmentLists(t *testing.T) {
	var out struct {
		Names []string `yaml:"names"`
		Ports []int    `yaml:"ports"`
	}
	d := newDecoder("x.yaml")
	d.decodeEnv([]string{"CAUSEWAY_NAMES=a, b,", "CAUSEWAY_PORTS=[1, 2]"}, &out)
	if err := d.err(); err != nil || !reflect.DeepEqual(out.Names, []string{"a", "b"}) || !reflect.DeepEqual(out.Ports, []int{1, 2}) {
		t.Errorf("got %+v and %v", out, err)
	}
}

func TestBaseURL(t *testing.T) {
	tests := []struct{ listen, publicURL, want string }{
		{"127.0.0.1:8008", "", "http://127.0.0.1:8008"},
		{":8008", "", "http://127.0.0.1:8008"},
		{"[::]:8008", "", "http://127.0.0.1:8008"},
		{"[::1]:8008", "", "http://[::1]:8008"},
		{":8008", "https://example.org/", "https://example.org"},
	}
	for _, test := range tests {
		cfg := &Config{Listen: test.listen, PublicURL: test.publicURL}
		if got := cfg.BaseURL(); got != test.want {
			t.Errorf("%s and %q: got %s, want %s", test.listen, test.publicURL, got, test.want)
		}
	}
}

// TestDecoderTypes covers what today's Config does not use but a section may.
func TestDecoderTypes(t *testing.T) {
	type section struct {
		Inner struct {
			Name string `yaml:"name"`
		} `yaml:",inline"`
		Count   uint8          `yaml:"count"`
		Ports   []int          `yaml:"ports"`
		Weights map[string]int `yaml:"weights"`
	}
	var out section
	d := newDecoder("x.yaml")
	d.decodeFile([]byte("name: 007\ncount: 3\nports: [1, 2]\nweights: {a: 1}\n"), &out)
	if err := d.err(); err != nil {
		t.Fatal(err)
	}
	if out.Inner.Name != "007" || out.Count != 3 || len(out.Ports) != 2 || out.Weights["a"] != 1 {
		t.Errorf("got %+v", out)
	}
	d = newDecoder("x.yaml")
	d.decodeFile([]byte("name: [x]\nports: [1, b]\nweights: {a: x}\n"), &out)
	want := "x.yaml:1: name: must be text (put it in quotes), not a list\n" +
		"x.yaml:2: ports[1]: must be a whole number, not \"b\"\n" +
		"x.yaml:3: weights.a: must be a whole number, not \"x\""
	if err := d.err(); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestParseDuration(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
	}{
		{"7d", 7 * 24 * time.Hour}, {"1d12h", 36 * time.Hour}, {"0d", 0}, {"90s", 90 * time.Second}, {"0", 0}, {"-1h", -time.Hour},
	}
	for _, test := range tests {
		if got, err := parseDuration(test.in); err != nil || got != test.want {
			t.Errorf("%s: got %s and %v, want %s", test.in, got, err, test.want)
		}
	}
	for _, bad := range []string{"", "d", "-1d", "1.5d", "1d-1h", "1d1", "1dd", "7 d", "99999999d"} {
		if got, err := parseDuration(bad); err == nil {
			t.Errorf("%q: got %s, want an error", bad, got)
		}
	}
}

func FuzzDecodeConfig(f *testing.F) {
	f.Add(exampleConfig)
	f.Add([]byte("log: &b {level: *b}"))
	f.Add([]byte("{{"))
	f.Add([]byte("? [a]\n: b"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, err := parseConfig("causeway.yaml", raw, nil)
		if err != nil && bytes.Contains([]byte(err.Error()), []byte("panic")) {
			t.Error(err)
		}
	})
}

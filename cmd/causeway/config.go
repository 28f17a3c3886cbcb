package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"causeway/homeserver"
	"causeway/homeserver/account"
	"causeway/homeserver/clientapi"
	"causeway/homeserver/event"

	"github.com/rs/zerolog"
)

// Config is the whole configuration: one YAML file, in which each part of the
// server has its own section. loadConfig returns it checked and with every
// path made absolute. What each key means is said in causeway.example.yaml,
// which a test keeps equal to defaultConfig.
type Config struct {
	Role           string             `yaml:"role"`
	ServerName     string             `yaml:"server_name"`
	Listen         string             `yaml:"listen"`
	PublicURL      string             `yaml:"public_url"`
	TrustedProxies []string           `yaml:"trusted_proxies"`
	DataDir        string             `yaml:"data_dir"`
	Database       string             `yaml:"database"`
	Registration   RegistrationConfig `yaml:"registration"`
	AppServices    AppServicesConfig  `yaml:"appservices"`
	Bridges        BridgesConfig      `yaml:"bridges"`
	Support        clientapi.Support  `yaml:"support"`

	Sessions account.SessionsConfig    `yaml:"sessions"`
	JWT      account.JWTConfig         `yaml:"jwt"`
	Mail     homeserver.MailConfig     `yaml:"mail"`
	SMS      homeserver.SMSConfig      `yaml:"sms"`
	Identity homeserver.IdentityConfig `yaml:"identity"`

	DefaultRoomVersion string                         `yaml:"default_room_version"`
	Maintenance        homeserver.MaintenanceConfig   `yaml:"maintenance"`
	UserDirectory      homeserver.UserDirectoryConfig `yaml:"user_directory"`
	Push               homeserver.PushConfig          `yaml:"push"`
	Presence           homeserver.PresenceConfig      `yaml:"presence"`

	DelayedEvents homeserver.DelayedEventsConfig `yaml:"delayed_events"`
	TURN          TURNConfig                     `yaml:"turn"`
	OAuth         homeserver.OAuthConfig         `yaml:"oauth"`
	SSO           homeserver.SSOConfig           `yaml:"sso"`
	Calls         CallsConfig                    `yaml:"calls"`
	Experimental  homeserver.ExperimentalConfig  `yaml:"experimental"`
	Legacy        homeserver.LegacyConfig        `yaml:"legacy"`

	Log        LogConfig        `yaml:"log"`
	Metrics    MetricsConfig    `yaml:"metrics"`
	RateLimits RateLimitsConfig `yaml:"rate_limits"`

	source configSource
}

// RegistrationConfig says who may make an account.
type RegistrationConfig struct {
	// Open lets everyone register without a token.
	Open bool `yaml:"open"`
	// Guests lets everyone have a guest's account.
	Guests bool `yaml:"guests"`
	// EmailRequired has everyone who registers confirm an email address.
	EmailRequired bool `yaml:"email_required"`

	account.RegistrationRules `yaml:",inline"`
}

// AppServicesConfig says where the registration files of application services are.
type AppServicesConfig struct {
	Dir string `yaml:"dir"`
}

// LogConfig says what is logged, and how it looks.
type LogConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// Values of LogConfig.Format.
const (
	logAuto = "auto" // text on a terminal, JSON elsewhere
	logText = "text"
	logJSON = "json"
)

// RateLimitsConfig bounds what one user, or one address before login, may ask for.
type RateLimitsConfig struct {
	Enabled  bool      `yaml:"enabled"`
	Login    RateLimit `yaml:"login"`
	LoginTo  RateLimit `yaml:"login_account"`
	Refresh  RateLimit `yaml:"refresh"`
	Mail     RateLimit `yaml:"mail"`
	Register RateLimit `yaml:"register"`
	Meetings RateLimit `yaml:"rendezvous"`
	Message  RateLimit `yaml:"message"`
	Join     RateLimit `yaml:"join"`
	Invite   RateLimit `yaml:"invite"`
	Profile  RateLimit `yaml:"profile"`
	Media    RateLimit `yaml:"media"`

	Delayed     RateLimit `yaml:"delayed"`
	Report      RateLimit `yaml:"report"`
	OpenID      RateLimit `yaml:"openid"`
	AccountData RateLimit `yaml:"account_data"`
	Ephemeral   RateLimit `yaml:"ephemeral"`
	Device      RateLimit `yaml:"device"`
	Directory   RateLimit `yaml:"directory"`
	Search      RateLimit `yaml:"search"`
	Read        RateLimit `yaml:"read"`
}

// Limits is the limits by their keys, which are the names of package
// httpapi's classes; nil when limits are off.
func (c RateLimitsConfig) Limits() map[string]RateLimit {
	if !c.Enabled {
		return nil
	}
	return c.byKey()
}

func (c RateLimitsConfig) byKey() map[string]RateLimit {
	return map[string]RateLimit{
		"login": c.Login, "login_account": c.LoginTo, "refresh": c.Refresh, "mail": c.Mail, "register": c.Register, "message": c.Message,
		"join": c.Join, "rendezvous": c.Meetings,
		"invite": c.Invite, "profile": c.Profile, "media": c.Media,
		"delayed": c.Delayed, "report": c.Report, "openid": c.OpenID, "account_data": c.AccountData,
		"ephemeral": c.Ephemeral, "device": c.Device, "directory": c.Directory, "search": c.Search, "read": c.Read,
	}
}

// RateLimit is a token bucket: PerSecond requests for as long as one likes,
// and Burst requests at once after a pause.
type RateLimit struct {
	PerSecond float64 `yaml:"per_second"`
	Burst     int     `yaml:"burst"`
}

// defaultConfig is what holds where neither the file nor the environment says
// otherwise.
func defaultConfig() *Config {
	return &Config{
		Role:           roleHomeserver,
		ServerName:     "localhost",
		Listen:         "127.0.0.1:8008",
		TrustedProxies: []string{},
		AppServices:    AppServicesConfig{Dir: "registration"},
		Bridges:        defaultBridges(),
		Registration:   RegistrationConfig{RegistrationRules: account.DefaultRegistration()},
		Support:        clientapi.Support{Contacts: []clientapi.Contact{}},
		Sessions:       account.DefaultSessions(),
		JWT:            account.DefaultJWT(),
		Mail:           homeserver.DefaultMail(),
		SMS:            homeserver.DefaultSMS(),
		Identity:       homeserver.DefaultIdentity(),

		DefaultRoomVersion: event.DefaultRoomVersion,
		Maintenance: homeserver.MaintenanceConfig{
			Schedule: "30 3 * * *", RedactedKeep: 7 * day, PurgeForgotten: true, ForgottenKeep: 30 * day,
			ToDeviceKeep: 90 * day,
		},
		Presence:      homeserver.PresenceConfig{Enabled: true, MaxRoomMembers: 200},
		DelayedEvents: homeserver.DefaultDelayedEvents(),
		TURN:          defaultTURN(),
		OAuth:         homeserver.OAuthConfig{Enabled: true, QRLogin: homeserver.QRLoginPublic},
		SSO:           homeserver.DefaultSSO(),
		Calls:         defaultCalls(),

		Log: LogConfig{Level: "info", Format: logAuto},
		RateLimits: RateLimitsConfig{
			Enabled:  true,
			Login:    RateLimit{PerSecond: 0.2, Burst: 10},
			LoginTo:  RateLimit{PerSecond: 0.02, Burst: 10},
			Refresh:  RateLimit{PerSecond: 5, Burst: 100},
			Mail:     RateLimit{PerSecond: 0.2, Burst: 20},
			Register: RateLimit{PerSecond: 0.2, Burst: 5},
			Meetings: RateLimit{PerSecond: 0.2, Burst: 20},
			Message:  RateLimit{PerSecond: 10, Burst: 50},
			Join:     RateLimit{PerSecond: 1, Burst: 20},
			Invite:   RateLimit{PerSecond: 1, Burst: 20},
			Profile:  RateLimit{PerSecond: 1, Burst: 10},
			Media:    RateLimit{PerSecond: 2, Burst: 20},

			Delayed:     RateLimit{PerSecond: 1, Burst: 20},
			Report:      RateLimit{PerSecond: 0.1, Burst: 10},
			OpenID:      RateLimit{PerSecond: 0.5, Burst: 20},
			AccountData: RateLimit{PerSecond: 5, Burst: 100},
			Ephemeral:   RateLimit{PerSecond: 10, Burst: 100},
			Device:      RateLimit{PerSecond: 50, Burst: 200},
			Directory:   RateLimit{PerSecond: 2, Burst: 30},
			Search:      RateLimit{PerSecond: 1, Burst: 20},
			Read:        RateLimit{PerSecond: 50, Burst: 500},
		},
	}
}

// BaseURL is the address that clients use, without a slash at its end:
// public_url, or the listener's own address when that is not set.
func (c *Config) BaseURL() string {
	if c.PublicURL != "" {
		return strings.TrimSuffix(c.PublicURL, "/")
	}
	host, port, _ := net.SplitHostPort(c.Listen)
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// TrustedProxyPrefixes is trusted_proxies, parsed.
func (c *Config) TrustedProxyPrefixes() []netip.Prefix {
	var prefixes []netip.Prefix
	for _, s := range c.TrustedProxies {
		if p, err := parsePrefix(s); err == nil { // check has reported the others
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}

// parsePrefix reads an address or a network; an address is a network of one.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// report notes one thing that is wrong with the value at a key, which is
// written with dots: "log.level".
type report func(key, format string, args ...any)

// check reports every value that has the right type but makes no sense.
func (c *Config) check(bad report) {
	c.checkRole(bad)
	if err := checkServerName(c.ServerName); err != nil {
		bad("server_name", "%v", err)
	}
	checkListenAt("listen", c.Listen, bad)
	checkPublicURL(c.PublicURL, bad)
	for i, s := range c.TrustedProxies {
		if _, err := parsePrefix(s); err != nil {
			bad(fmt.Sprintf("trusted_proxies[%d]", i), "%q is neither an IP address nor a network such as 10.0.0.0/8", s)
		}
	}
	checkDatabase(c.Database, bad)
	if c.AppServices.Dir == "" {
		bad("appservices.dir", "must not be empty")
	}
	c.Bridges.check(bad)
	checkSection("support", c.Support, bad)
	checkSection("registration", c.Registration.RegistrationRules, bad)
	checkSection("sessions", c.Sessions, bad)
	checkSection("jwt", c.JWT, bad)
	checkSection("mail", c.Mail, bad)
	checkSection("sms", c.SMS, bad)
	checkSection("identity", c.Identity, bad)
	if c.Registration.EmailRequired && c.Mail.Host == "" {
		bad("registration.email_required", "needs mail.host: without it nobody can confirm an address")
	}
	if _, err := event.LookupVersion(c.DefaultRoomVersion); err != nil {
		bad("default_room_version", "%q is no room version that this server knows: it knows %s", c.DefaultRoomVersion, roomVersions())
	}
	checkSection("maintenance", c.Maintenance, bad)
	checkSection("presence", c.Presence, bad)
	checkSection("delayed_events", c.DelayedEvents, bad)
	c.TURN.check(bad)
	checkSection("oauth", c.OAuth, bad)
	checkSection("sso", c.SSO, bad)
	c.Calls.check(bad)
	c.Log.check(bad)
	c.Metrics.check(bad)
	c.RateLimits.check(bad)
}

// checkSection asks a part of the server about its own section. Its errors
// are lines that begin with the key inside the section and a colon.
func checkSection(key string, section interface{ Validate() error }, bad report) {
	err := section.Validate()
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		inner, text, found := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		if !found {
			bad(key, "%s", inner)
			continue
		}
		bad(join(key, inner), "%s", text)
	}
}

// checkListenAt checks the address of a listener, which is the value of a key.
func checkListenAt(key, listen string, bad report) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		bad(key, "%q is not host:port", listen)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		bad(key, "%q is not a port between 0 and 65535", port)
	}
	if strings.ContainsAny(host, " /") {
		bad(key, "%q is not a host", host)
	}
}

func checkPublicURL(raw string, bad report) {
	if raw == "" {
		return
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		bad("public_url", "%q is not an http:// or https:// address", raw)
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "", u.User != nil:
		bad("public_url", "%q must be a scheme and a host, nothing more", raw)
	}
}

// sqlitePrefix marks a database that is a file.
const sqlitePrefix = "sqlite:"

// checkDatabase never shows the value: it may hold a password.
func checkDatabase(database string, bad report) {
	if file, ok := strings.CutPrefix(database, sqlitePrefix); ok {
		if file == "" {
			bad("database", "sqlite: must be followed by a file name")
		}
		return
	}
	if database == "" {
		return
	}
	u, err := url.Parse(database)
	switch {
	case err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql":
		bad("database", "is neither empty, nor sqlite:FILE, nor a postgres:// URL")
	case strings.Trim(u.Path, "/") == "":
		bad("database", "the postgres:// URL names no database")
	}
}

func (c LogConfig) check(bad report) {
	levels := []string{"trace", "debug", "info", "warn", "error"}
	if _, err := zerolog.ParseLevel(c.Level); err != nil || !slices.Contains(levels, c.Level) {
		bad("log.level", "%q is not one of %s", c.Level, strings.Join(levels, ", "))
	}
	if formats := []string{logAuto, logText, logJSON}; !slices.Contains(formats, c.Format) {
		bad("log.format", "%q is not one of %s", c.Format, strings.Join(formats, ", "))
	}
}

func (c RateLimitsConfig) check(bad report) {
	for key, limit := range c.byKey() {
		if limit.PerSecond <= 0 {
			bad("rate_limits."+key+".per_second", "must be more than 0; to switch limits off, set rate_limits.enabled to false")
		}
		if limit.Burst < 1 {
			bad("rate_limits."+key+".burst", "must be at least 1")
		}
	}
}

// resolve makes paths absolute, and the database what sqldb.Open takes: a path
// of a SQLite file, or a postgres:// URL. A path from the file is relative to the
// file's folder, a path from the environment to the working directory; base
// says which it is for a key. Paths of defaults count as written in the file.
func (c *Config) resolve(base func(key string) string) {
	abs := func(key, path string) string {
		if filepath.IsAbs(path) {
			return filepath.Clean(path)
		}
		return filepath.Join(base(key), path)
	}
	c.DataDir = abs("data_dir", c.DataDir)
	c.AppServices.Dir = abs("appservices.dir", c.AppServices.Dir)
	for i, p := range c.SSO.Providers {
		if p.ClientSecretFile != "" {
			c.SSO.Providers[i].ClientSecretFile = abs(fmt.Sprintf("sso.providers[%d].client_secret_file", i), p.ClientSecretFile)
		}
	}
	c.TURN.resolve(abs)
	if c.Calls.Page != "" {
		c.Calls.Page = abs("calls.page", c.Calls.Page)
	}
	switch file, ok := strings.CutPrefix(c.Database, sqlitePrefix); {
	case ok:
		c.Database = abs("database", file)
	case c.Database == "":
		c.Database = filepath.Join(c.DataDir, "causeway.db")
	}
}

// roomVersions lists the room versions for people.
func roomVersions() string {
	var ids []string
	for _, v := range event.Versions() {
		ids = append(ids, v.ID)
	}
	return strings.Join(ids, ", ")
}

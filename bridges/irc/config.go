package irc

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"
)

// Config is the irc part of the configuration file.
type Config struct {
	// Networks by name. The name appears in every alias and ghost (#irc_NAME_#channel, @irc_NAME_nick):
	// lower-case letters, digits, "." and "-". It should never change.
	Networks map[string]NetworkConfig `yaml:"networks"`
	// Identd answers servers of all networks that ask whose a connection is.
	Identd IdentdConfig `yaml:"identd"`
	// Handover is for how long connections are kept for the next process when this one ends, so that nobody on IRC notices a
	// restart or an upgrade. 0, the default, says goodbye at once.
	Handover time.Duration `yaml:"handover,omitempty"`
}

// NetworkConfig is one IRC network.
type NetworkConfig struct {
	// Address is host:port of a server.
	Address string `yaml:"address"`
	// TLS encrypts the connection, and checks the server's certificate.
	TLS bool `yaml:"tls"`
	// TLSInsecure accepts any certificate.
	TLSInsecure bool `yaml:"tls_insecure,omitempty"`
	// Password is the server password (PASS), if it has one.
	Password string `yaml:"password,omitempty"`
	// Nick is the template of nicks; {localpart} is that of the Matrix user. Default "{localpart}".
	Nick string `yaml:"nick,omitempty"`
	// NickLen is the longest nick to try, in bytes. Default 16; a server that refuses is offered 9.
	NickLen int `yaml:"nick_len,omitempty"`
	// RealName is the template of the real name, which everybody on IRC sees; {mxid} is the Matrix user.
	// Default "{mxid}".
	RealName string `yaml:"realname,omitempty"`
	// Casemapping is which letters are the same in nicks and channels: rfc1459 (the default), rfc1459-strict
	// or ascii. The server announces its own (CASEMAPPING in numeric 005); the log warns when they differ.
	Casemapping Casemapping `yaml:"casemapping,omitempty"`
	// Charset is what lines are written in that are not UTF-8, by a name of the Encoding Standard, such as iso-8859-15, koi8-r or
	// gbk. Default windows-1252.
	Charset string `yaml:"charset,omitempty"`
	// CharsetSend has the bridge write in it, too, and not in UTF-8; what it does not have becomes a question mark. It is for
	// networks where most people cannot read UTF-8.
	CharsetSend bool `yaml:"charset_send,omitempty"`
	// Flood limits what one connection sends.
	Flood FloodConfig `yaml:"flood,omitempty"`
	// Connect limits how fast connections are opened, all users together.
	Connect ConnectConfig `yaml:"connect,omitempty"`
	// Content says how messages look on IRC.
	Content ContentConfig `yaml:"content,omitempty"`
	// Auth is how people log in to the network's accounts.
	Auth AuthConfig `yaml:"auth,omitempty"`
	// Dial is how connections are made.
	Dial DialConfig `yaml:"dial,omitempty"`
	// WebIRC tells the network who is behind a connection.
	WebIRC WebIRCConfig `yaml:"webirc,omitempty"`
	// Idle closes the connections of people who say nothing.
	Idle IdleConfig `yaml:"idle,omitempty"`
	// Modes says how modes of channels and power levels go together.
	Modes ModesConfig `yaml:"modes,omitempty"`
	// Away says who hears when somebody is away.
	Away AwayConfig `yaml:"away,omitempty"`
	// Members says whom of a channel the room shows.
	Members MembersConfig `yaml:"members,omitempty"`
	// Status is about the rooms with what servers say to people.
	Status StatusConfig `yaml:"status,omitempty"`
	// Rooms is how the people of a room are on its channel.
	Rooms RoomsConfig `yaml:"rooms,omitempty"`
	// Relay is the connection that speaks for others.
	Relay RelayConfig `yaml:"relay,omitempty"`
	// Plumb is who may connect existing rooms to channels with `!irc plumb`: consent (the default) asks an operator of the
	// channel; admins lets administrators of the bridge do so, and asks nobody; off lets nobody.
	Plumb string `yaml:"plumb,omitempty"`
	// Strict names channels of which nobody reads anything without being seen there.
	Strict StrictConfig `yaml:"strict,omitempty"`
}

// ConnectConfig paces new connections.
type ConnectConfig struct {
	// Burst is the number of connections opened at once. Default 3.
	Burst int `yaml:"burst,omitempty"`
	// Interval is the time per connection after that. Default 1s.
	Interval time.Duration `yaml:"interval,omitempty"`
	// Max is how many connections there may be at a time, for networks that allow only so many; 0, the default, means any number. When
	// there are so many, who wants to speak or enters a room takes the place of who has said nothing for longest, who is back when
	// they speak; the last one who listens to a channel keeps theirs.
	Max int `yaml:"max,omitempty"`
	// RetryMin and RetryMax bound the pause between attempts, which doubles with each failure. Default 2s
	// and 5m.
	RetryMin time.Duration `yaml:"retry_min,omitempty"`
	RetryMax time.Duration `yaml:"retry_max,omitempty"`
}

// backoff is the longest pause after so many failures in a row. It is at least a nanosecond.
func (c ConnectConfig) backoff(failures int) time.Duration {
	pause := max(c.RetryMin, 1)
	for n := 1; n < failures && pause < c.RetryMax; n++ {
		if pause > c.RetryMax/2 {
			return c.RetryMax // doubling could overflow
		}
		pause *= 2
	}
	return max(min(pause, c.RetryMax), 1)
}

// Validate checks the configuration; errors name the field.
func (c Config) Validate() error {
	errs := []error{c.Identd.validate(), validHandover(c.Handover)}
	for _, name := range slices.Sorted(maps.Keys(c.Networks)) {
		field := "networks." + name
		if !networkName.MatchString(name) || len(name) > maxNetworkName {
			errs = append(errs, fmt.Errorf("%s: the name must match %s and have at most %d characters",
				field, networkName, maxNetworkName))
			continue
		}
		errs = append(errs, c.Networks[name].validate(field))
	}
	return errors.Join(errs...)
}

func (n NetworkConfig) validate(field string) error {
	host, port, err := net.SplitHostPort(n.Address)
	switch {
	case n.Address == "":
		return fmt.Errorf("%s.address: missing; it is host:port", field)
	case err != nil || host == "" || port == "":
		return fmt.Errorf("%s.address: %q is not host:port", field, n.Address)
	case n.TLSInsecure && !n.TLS:
		return fmt.Errorf("%s.tls_insecure: has no meaning without tls", field)
	case strings.ContainsAny(n.Password, "\r\n\x00"):
		return fmt.Errorf("%s.password: must be one line", field)
	case n.Nick != "" && !strings.Contains(n.Nick, "{localpart}"):
		return fmt.Errorf("%s.nick: %q must contain {localpart}", field, n.Nick)
	case n.NickLen != 0 && (n.NickLen < shortNick || n.NickLen > maxNickBytes):
		return fmt.Errorf("%s.nick_len: must be from %d to %d", field, shortNick, maxNickBytes)
	case strings.ContainsAny(n.RealName, "\r\n\x00"):
		return fmt.Errorf("%s.realname: must be one line", field)
	case !slices.Contains([]Casemapping{"", ASCII, RFC1459, RFC1459Strict}, n.Casemapping):
		return fmt.Errorf("%s.casemapping: %q is none of rfc1459, rfc1459-strict, ascii", field, n.Casemapping)
	case n.Connect.Burst < 0:
		return fmt.Errorf("%s.connect.burst: must not be negative", field)
	case n.Connect.Interval < 0:
		return fmt.Errorf("%s.connect.interval: must not be negative", field)
	case n.Connect.Max < 0:
		return fmt.Errorf("%s.connect.max: must not be negative", field)
	case n.Connect.RetryMin < 0 || n.Connect.RetryMax < 0:
		return fmt.Errorf("%s.connect.retry_min and retry_max: must not be negative", field)
	}
	return errors.Join(validateCharset(n.Charset, field+".charset"), n.Flood.validate(field+".flood"), n.Content.validate(field+".content"), n.Auth.validate(field+".auth"), n.Dial.validate(field+".dial", n.TLS),
		n.WebIRC.validate(field+".webirc"), n.Idle.validate(field+".idle"),
		n.Modes.validate(field+".modes"), n.Away.validate(field+".away"), n.Members.validate(field+".members"), n.Rooms.validate(field+".rooms"),
		n.Relay.validate(field+".relay"), validatePlumb(n.Plumb, field+".plumb"), n.Strict.validate(field+".strict"))
}

// withDefaults fills what is left out.
func (n NetworkConfig) withDefaults() NetworkConfig {
	orString := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	orInt := func(i *int, d int) {
		if *i == 0 {
			*i = d
		}
	}
	orTime := func(t *time.Duration, d time.Duration) {
		if *t == 0 {
			*t = d
		}
	}
	orString(&n.Nick, "{localpart}")
	orString(&n.Relay.Nick, "matrix")
	orString(&n.RealName, "{mxid}")
	orString((*string)(&n.Casemapping), string(RFC1459))
	orInt(&n.NickLen, 16)
	n.Flood = n.Flood.withDefaults()
	orInt(&n.Connect.Burst, 3)
	orTime(&n.Connect.Interval, time.Second)
	orTime(&n.Connect.RetryMin, 2*time.Second)
	orTime(&n.Connect.RetryMax, 5*time.Minute)
	n.Connect.RetryMax = max(n.Connect.RetryMax, n.Connect.RetryMin)
	n.Content = n.Content.withDefaults()
	n.Auth, n.WebIRC = n.Auth.withDefaults(), n.WebIRC.withDefaults()
	n.Modes = n.Modes.withDefaults()
	orTime(&n.Away.Delay, defaultAwayDelay)
	orString(&n.Plumb, plumbConsent)
	orTime(&n.Strict.Pause, defaultStrictPause)
	return n
}

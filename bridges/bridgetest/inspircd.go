package bridgetest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// InspIRCd is a running InspIRCd on loopback, with the IRCv3 that Debian's version has, and services if there are any.
type InspIRCd struct {
	Address string

	servers string // where other servers connect
	t       testing.TB
}

// inspircdModules are those that the tests need, and those whose modes atheme uses.
const inspircdModules = `cap ircv3 ircv3_servertime ircv3_msgid ircv3_ctctags ircv3_echomessage ircv3_labeledresponse ircv3_batch
	ircv3_accounttag ircv3_chghost ircv3_invitenotify ircv3_capnotify namesx uhnames customprefix spanningtree sasl
	services_account chghost deaf servprotect hideoper permchannels svshold globops muteban`

const (
	servicesName = "services.test.local"
	linkPassword = "link"
)

// StartInspIRCd starts Debian's InspIRCd without flood limits. It is stopped at the end of the test.
func StartInspIRCd(t testing.TB) *InspIRCd {
	t.Helper()
	s := newServer(t, "inspircd", "") // whose folder may be that of root
	i := &InspIRCd{Address: FreeAddress(t), servers: FreeAddress(t), t: t}
	host, port, _ := net.SplitHostPort(i.Address)
	_, serverPort, _ := net.SplitHostPort(i.servers)
	modules := ""
	for name := range strings.FieldsSeq(inspircdModules) {
		modules += fmt.Sprintf("<module name=%q>\n", name)
	}
	// The program may lie in a folder of its own, with its modules beside it.
	lib := filepath.Join(filepath.Dir(filepath.Dir(s.path)), "lib/inspircd/modules")
	conf := s.file("inspircd.conf", fmt.Sprintf(`<config format="xml">
<path moduledir=%q runtimedir=%q datadir=%q logdir=%q configdir=%q>
<server name="irc.test.local" description="test" network="TestNet" id="1AB">
<admin name="a" nick="a" email="a@test.local">
<bind address=%q port=%q type="clients">
<bind address=%q port=%q type="servers">
<connect name="main" allow="*" timeout="60" pingfreq="120" hardsendq="16M" softsendq="1M" recvq="64K" threshold="1000"
	commandrate="1000000" fakelag="no" localmax="2000" globalmax="2000" maxchans="1000" resolvehostnames="no" useident="no">
<options customversion="" casemapping="rfc1459">
<limits maxnick="30">
<pid file=%q>
<files motd="/dev/null">
%s
<customprefix name="voice" change="yes">
<sasl target=%q requiressl="no">
<link name=%q ipaddr="127.0.0.1" port="1" allowmask="127.0.0.0/8" sendpass=%q recvpass=%q>
<uline server=%q silent="yes">
`, lib, s.dir, s.dir, s.dir, s.dir, host, port, host, serverPort, filepath.Join(s.dir, "pid"), modules,
		servicesName, servicesName, linkPassword, linkPassword, servicesName))
	args := []string{"--nofork", "--config", conf}
	if os.Getuid() == 0 {
		args = append(args, "--runasroot")
	}
	s.start(args...)
	AwaitListener(t, i.Address)
	return i
}

// athemeModules are NickServ with accounts and power over nicks, and SASL: all ways that Debian's version has, of which SCRAM is none.
const athemeModules = `protocol/inspircd backend/opensex crypto/pbkdf2v2 nickserv/main nickserv/register nickserv/identify
	nickserv/logout nickserv/ghost nickserv/set_core nickserv/enforce
	nickserv/info nickserv/cert chanserv/main chanserv/register saslserv/main saslserv/plain saslserv/external`

// StartAtheme starts Debian's atheme services for the server, and returns when they are there. They are stopped at the end
// of the test.
func (i *InspIRCd) StartAtheme() {
	i.t.Helper()
	s := newServer(i.t, "atheme-services", "irc")
	conf := ""
	for name := range strings.FieldsSeq(athemeModules) {
		conf += fmt.Sprintf("loadmodule \"modules/%s\";\n", name)
	}
	_, port, _ := net.SplitHostPort(i.servers)
	conf += fmt.Sprintf(`serverinfo {
	name = %q; desc = "services"; numeric = "2AA"; recontime = 2; netname = "TestNet";
	hidehostsuffix = "users.test.local"; adminname = "a"; adminemail = "a@test.local"; mta = "/bin/true";
	loglevel = { error; info; network; }; maxcertfp = 0; maxlogins = 500; maxusers = 500; mdlimit = 30;
	emaillimit = 10; emailtime = 300; auth = none; casemapping = rfc1459;
};
uplink "irc.test.local" { host = "127.0.0.1"; port = %s; send_password = %q; receive_password = %q; };
nickserv { nick = "NickServ"; user = "NickServ"; host = %q; real = "Nickname Services"; };
chanserv { nick = "ChanServ"; user = "ChanServ"; host = %q; real = "Channel Services"; };
saslserv { nick = "SaslServ"; user = "SaslServ"; host = %q; real = "SASL"; };
general { };
`, servicesName, port, linkPassword, linkPassword, servicesName, servicesName, servicesName)
	path := s.file("atheme.conf", conf)
	s.start("-n", "-c", path, "-D", s.dir, "-l", filepath.Join(s.dir, "log"), "-p", filepath.Join(s.dir, "pid"))
	watch := DialIRC(i.t, i.Address, "watch")
	watch.AwaitPresent("NickServ")
	watch.Quit("they are there")
}

// RegisterAccount makes an account at the services, for a nick that nobody has.
func (i *InspIRCd) RegisterAccount(name, password string) {
	i.t.Helper()
	c := DialIRC(i.t, i.Address, name)
	c.Send("PRIVMSG NickServ :REGISTER %s %s@test.local", password, name)
	c.AwaitNotice("NickServ", "registered")
	c.Quit("registered")
	watch := DialIRC(i.t, i.Address, "watch2")
	watch.AwaitAbsent(name)
	watch.Quit("done")
}

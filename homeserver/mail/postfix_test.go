package mail

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// postfixMain is the configuration of a Postfix that takes mail on loopback, encrypted alone, and hands all of it on to another server.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.test
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:%[2]d
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtputf8_enable = yes
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = %[1]s/cert.pem
smtpd_tls_key_file = %[1]s/key.pem
smtpd_recipient_restrictions = check_recipient_access inline:{refused@example.org=REJECT}, permit_mynetworks, reject
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
`

const postfixMaster = `127.0.0.1:%d inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// asRoot makes a command that only root may run.
func asRoot(name string, args ...string) *exec.Cmd {
	if os.Geteuid() == 0 {
		return exec.Command(name, args...)
	}
	return exec.Command("sudo", append([]string{"-n", name}, args...)...)
}

// startPostfix starts a Postfix that hands mail on to x, and returns its port.
func startPostfix(t *testing.T, x *exchange) int {
	t.Helper()
	const postfix = "/usr/sbin/postfix"
	if _, err := os.Stat(postfix); err != nil {
		t.Fatalf("Postfix is missing: make tools installs it (%v)", err)
	}
	dir, err := os.MkdirTemp("", "causeway-postfix-")
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	cert, pool := certificate(t)
	x.pool = pool
	key, err := x509.MarshalECPrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"main.cf": fmt.Sprintf(postfixMain, dir, x.port), "master.cf": fmt.Sprintf(postfixMaster, port),
		"cert.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})),
		"key.pem":  string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key})),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := asRoot(name, args...).CombinedOutput(); err != nil {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, out, log)
		}
	}
	// Postfix changes to users of its own, who have to get there.
	run("chmod", "755", dir)
	run("mkdir", dir+"/queue", dir+"/data")
	run("chown", "root", dir, dir+"/queue", dir+"/main.cf", dir+"/master.cf")
	run("chown", "postfix", dir+"/data")
	run(postfix, "-c", dir, "start")
	t.Cleanup(func() {
		run(postfix, "-c", dir, "stop")
		run("rm", "-rf", dir)
	})
	return port
}

// Postfix takes what this package sends, and what it refuses is refused.
func TestPostfix(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sink := newExchange(t, NoTLS)
		port := startPostfix(t, sink)
		s, _ := newTestService(db, &exchange{port: port, pool: sink.pool}, StartTLS)
		s.Now = time.Now
		m := toAlice("Grüße: " + strings.Repeat("a long line ", 200) + "\n.\nand a dot")
		m.Letter.Link, m.Letter.LinkText = "https://example.org/confirm?sid=1&token=2", "Confirm"
		if err := queue(t, s, m); err != nil {
			t.Fatal(err)
		}
		refused := toAlice("x")
		refused.Address = "refused@example.org"
		if err := queue(t, s, refused); err != nil {
			t.Fatal(err)
		}
		round(t, s)
		if next := waiting(t, s); next != 0 {
			t.Error("a message waits still")
		}
		select {
		case <-sink.arrived:
		case <-time.After(time.Minute):
			t.Fatal("Postfix has handed nothing on")
		}
		got := sink.got()
		if len(got) != 1 || sink.to[0] != "alice@example.org" || !strings.Contains(got[0], "by mail.test (Postfix)") ||
			!strings.Contains(got[0], "https://example.org/confirm?sid=3D1&token=3D2") || !strings.Contains(got[0], "a dot") {
			t.Errorf("got %q", got)
		}
	})
}

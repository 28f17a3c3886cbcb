package e2e

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// isolated is what makes the IRC bridge of an installation run in a process of its own.
const isolated = "    isolation: process\n"

// bridgeProcess is how the server says that a bridge's process is doing.
type bridgeProcess struct {
	PID       int    `json:"pid"`
	Crashes   int    `json:"crashes"`
	LastWords string `json:"last_words"`
}

// processOf asks the server for the process of a bridge.
func (c *causeway) processOf(bridge string) bridgeProcess {
	c.t.Helper()
	output, err := c.command("registration", "list", "--json", "--config", c.config).Output()
	if err != nil {
		c.t.Fatalf("registration list: %v\n%s", err, output)
	}
	var all struct {
		Services []struct {
			ID      string
			Process *bridgeProcess
		}
	}
	if err := json.Unmarshal(output, &all); err != nil {
		c.t.Fatal(err)
	}
	for _, s := range all.Services {
		if s.ID == bridge && s.Process != nil {
			return *s.Process
		}
	}
	c.t.Fatalf("registration list has no process of %s:\n%s", bridge, output)
	return bridgeProcess{}
}

// awaitGone waits until a process has ended, whoever its parent is.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	deadline := time.After(patience)
	for !gone(pid) {
		select {
		case <-retry.C:
		case <-deadline:
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// gone says whether a process has ended; one that only waits for its status to be taken has.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	return err != nil || strings.Contains(string(status), "\nState:\tZ")
}

// TestKillBridge kills the process of the bridge in the middle of a conversation: nothing is lost that a sender saw
// acknowledged, or that IRC said while the bridge was there, and the server has not ended.
func TestKillBridge(t *testing.T) {
	onEngines(t, func(t *testing.T, database string) {
		irc := startNgircd(t)
		server := startServer(t, options{database: database, networks: ircNetwork(network, irc.address) + isolated})
		m := meetOn(t, server, irc)
		talk := m.talkOn(t)
		for kill := range kills {
			fromMary, fromIan := talk.heardOfMary(), m.mike.events.position()
			talk.awaitMary(fromMary + linesBetweenKills)
			m.mike.events.awaitCount(t, fromIan, "lines from ian for mike", linesBetweenKills, talk.isFromIan)
			onIRC := m.ian.lines.position()
			pid := server.processOf("irc").PID
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			awaitGone(t, pid)
			for _, c := range m.people() {
				m.ian.awaitPuppet(onIRC, c.name)
			}
			if got := server.processOf("irc"); got.PID == pid || got.Crashes != kill+1 || !strings.Contains(got.LastWords, "killed") {
				t.Errorf("after kill %d of process %d, got %+v", kill+1, pid, got)
			}
		}
		fromMary, fromIan := talk.heardOfMary(), m.mike.events.position()
		talk.awaitMary(fromMary + linesBetweenKills)
		m.mike.events.awaitCount(t, fromIan, "lines from ian for mike", linesBetweenKills, talk.isFromIan)
		talk.end()
		talk.checkFromMatrix(t)
		talk.checkFromIRC(t)
		for _, socket := range []string{"irc.sock", "homeserver.sock"} {
			info, err := os.Stat(filepath.Join(server.dir, "data", "bridges", socket))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: got %v, %v, want mode 600", socket, info, err)
			}
		}
	})
}

// TestIsolatedBridgeIsSeen asks how a bridge in a process of its own is doing, has it leave a room, and asks again while it hangs.
func TestIsolatedBridgeIsSeen(t *testing.T) {
	onEngines(t, func(t *testing.T, database string) {
		irc := startNgircd(t)
		c := startServer(t, options{database: database, networks: ircNetwork(network, irc.address) + isolated})
		ian := connectIRC(t, irc.address, "ian")
		ian.join(channel)
		mary := c.registerHTTP(t, "mary")
		var joined struct {
			RoomID string `json:"room_id"`
		}
		c.do(t, "POST", "/_matrix/client/v3/join/"+url.PathEscape(channelAlias(network, channel)), mary, map[string]any{}).decode(t, &joined)
		ian.awaitPuppet(0, "mary")
		list := func(wants ...string) {
			t.Helper()
			code, output := c.run(t, "registration", "list")
			wantAll(t, output, wants...)
			_, metrics := c.run(t, "registration", "list", "--metrics")
			if up := strings.Contains(metrics, "causeway_bridge_logins{service=\"irc\",state=\"CONNECTED\"} 1\n"); code != 0 || up != (len(wants) > 1) {
				t.Errorf("exit code %d, metrics\n%s", code, metrics)
			}
		}
		awaitTrue(t, "mary's login to be connected", func() bool {
			_, output := c.run(t, "registration", "list")
			return strings.Contains(output, "1 logins connected")
		})
		list("irc: the bridge is running;", "1 logins connected", "0 on their way")
		if code, output := c.run(t, "bridge", "unbridge", "!nowhere"); code == 0 || !strings.Contains(output, "the bridge irc is not in !nowhere") {
			t.Errorf("a room that it is not in: got %d %s", code, output)
		}
		if code, output := c.run(t, "bridge", "unbridge", joined.RoomID); code != 0 || !strings.Contains(output, "The bridge is leaving "+joined.RoomID) {
			t.Errorf("got %d %s", code, output)
		}
		awaitTrue(t, "mary to be alone", func() bool {
			a := c.do(t, "GET", "/_matrix/client/v3/rooms/"+url.PathEscape(joined.RoomID)+"/joined_members", mary, nil)
			return a.contains("@mary:") && !a.contains("@irc_")
		})

		// One that hangs is not waited for.
		pid := c.processOf("irc").PID
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		list("irc: the bridge does not say how it is doing: it does not answer")
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		awaitTrue(t, "the bridge to be back", func() bool {
			_, output := c.run(t, "registration", "list")
			return strings.Contains(output, "irc: the bridge is running;")
		})
	})
}

// TestBridgeEndsWithServer looks for what remains of a bridge's process when the server ends in whatever way.
func TestBridgeEndsWithServer(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(*causeway)
	}{
		{"killed", func(c *causeway) { c.kill() }},
		{"stopped", func(c *causeway) {
			c.stop(c.t)
			if code := c.cmd.ProcessState.ExitCode(); code != 0 {
				c.t.Errorf("the exit code is %d", code)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			irc := startNgircd(t)
			server := startServer(t, options{networks: ircNetwork(network, irc.address) + isolated})
			pid := server.processOf("irc").PID
			test.end(server)
			awaitGone(t, pid)
			server.start()
			if again := server.processOf("irc"); again.PID == pid || again.Crashes != 0 {
				t.Errorf("after another start, got %+v; the process before was %d", again, pid)
			}
		})
	}
}

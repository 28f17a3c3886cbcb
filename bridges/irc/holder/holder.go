// Package holder keeps IRC connections over a restart of the server: a small process owns the sockets and TLS, passes
// lines both ways, and keeps what comes while no server is there.
//
// It holds both ends. Holder is the process's, which bridges/irc runs by a hidden command; Dialer is the server's, which
// starts the process when there is none. Each IRC connection has a Unix connection of its own, so that one that is slow holds
// up no other. Of IRC it knows what a successor has to be told again (prelude.go) and how to answer PING, and no more;
// it logs nothing of what passes.
//
// # Protocol
//
// The holder greets with "causeway-irc-holder VERSION". The server answers with one line: LIST, DIAL, TAKE, each with
// JSON, or END with words for QUIT. The greeting and END are the same in all versions, so that a server can end a holder
// that it does not understand. After OK, the lines of the connection follow, in frames of one line each (frames.go).
package holder

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Version is that of the protocol. A new server must understand the holder of an old one, so a change of what is here
// already takes a new number, and code for both.
const Version = 1

// greeting begins what a holder of any version says first.
const greeting = "causeway-irc-holder "

const (
	// maxAttached is how many bytes of lines a server may leave unconfirmed before its IRC connection is not read any more.
	maxAttached = 256 << 10
	// maxDetached is how many bytes are kept of a connection that has no server. One with more is quit: lines that were left
	// out would be missing in the middle, and a connection that is made anew at least says that it was away.
	maxDetached = 1 << 20
	// maxTotal bounds the bytes of all connections without a server. Beyond it the one with most is quit.
	maxTotal = 64 << 20
	// maxWritten is how many of the last lines that were written are known by their tags, over a restart of the server. A
	// connection has fewer than this on their way.
	maxWritten = 512
	// maxFrame bounds a frame: a line of IRC with its tags, or what is told at the beginning.
	maxFrame = 1 << 20
	// initialFrame is what the buffers begin with.
	initialFrame = 512
	// maxConnections bounds the connections of one holder.
	maxConnections = 20000
	// askTimeout bounds what is asked of a holder but for DIAL.
	askTimeout = 10 * time.Second
	// startTimeout bounds the start of a holder.
	startTimeout = 10 * time.Second
	// writeTimeout is how long a line may take to enter the socket.
	writeTimeout = 30 * time.Second
	// quitWait is how long a server of IRC may take to close a connection after QUIT.
	quitWait = 3 * time.Second
	// idLetters is the length of Address.ID, of five bits each.
	idLetters = 16
	// idleExit is how long a holder without connections stays.
	idleExit = time.Minute
)

// Key names a connection.
type Key struct {
	Network string `json:"network"`
	User    string `json:"user"`
}

// Request is what a connection is asked for by.
type Request struct {
	Key
	// Mark is what must be the same for a connection to be taken up: a network whose address has been changed is another one.
	Mark string `json:"mark"`
	// HoldMS is for how long the connection is kept without a server, ms.
	HoldMS int64 `json:"hold_ms"`
}

// Listed is a connection without a server, or one of a server that is still there.
type Listed struct {
	Key
	Mark     string   `json:"mark"`
	Nick     string   `json:"nick"`
	UserHost string   `json:"user_host"`
	Leads    []string `json:"leads,omitempty"`
	Channels []string `json:"channels,omitempty"`
}

// Address is the ends of a connection.
type Address struct {
	// ID is the connection's own, and no other's at any time.
	ID     string `json:"id"`
	Local  string `json:"local"`
	Remote string `json:"remote"`
	TLS    bool   `json:"tls"`
}

// State is what a successor has to know of a connection: how it is before the lines that follow.
type State struct {
	Address
	Prelude
	// Leads are the channels of which this connection's view counted, as the server before has said.
	Leads []string `json:"leads,omitempty"`
	// Written are the tags of the lines that were written last.
	Written []uint64 `json:"written,omitempty"`
	// Last is the number of the last line that has come, and Pending how many follow up to it.
	Last    uint64 `json:"last"`
	Pending int    `json:"pending"`
}

// Line is a line from IRC.
type Line struct {
	Seq  uint64
	At   time.Time // when it came
	Text []byte
}

// ErrTooLong tells that the path of the socket is longer than the system allows.
var ErrTooLong = errors.New("the path is too long for a socket")

// SocketIn is the path of the socket in a data directory.
func SocketIn(dir string) string { return filepath.Join(dir, "irc-holder.sock") }

// checkPath refuses what no socket can have, and names without a file, which have no owner.
func checkPath(path string) error {
	if limit := len(unix.RawSockaddrUnix{}.Path) - 1; len(path) > limit {
		return fmt.Errorf("%s: %w (at most %d bytes): choose a shorter data_dir, or set handover: 0s", path, ErrTooLong, limit)
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is no absolute path", path)
	}
	return nil
}

func addressOf(conn net.Conn, secure bool) Address {
	return Address{ID: strings.ToLower(rand.Text()[:idLetters]), Local: conn.LocalAddr().String(), Remote: conn.RemoteAddr().String(), TLS: secure}
}

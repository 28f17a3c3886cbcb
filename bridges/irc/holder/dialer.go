package holder

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ergochat/irc-go/ircreader"
)

// Ready is the line that a holder writes to its standard output when it can be reached.
const Ready = "ready"

var (
	// ErrAbsent tells that no holder runs.
	ErrAbsent = errors.New("no holder runs")
	// ErrVersion tells that the holder which ran was of a version that this server does not understand. It has been ended.
	ErrVersion = errors.New("the holder is of an unknown version")
)

// Dialer reaches the holder.
type Dialer struct {
	// Path is that of the socket.
	Path string
	// Command makes the command that runs a holder; nil starts none.
	Command func() *exec.Cmd

	mu sync.Mutex // held while one is started
}

// reach returns a connection to the holder, after its greeting. It starts one if there is none.
func (d *Dialer) reach(ctx context.Context) (*net.UnixConn, error) {
	link, err := d.knock(ctx)
	if err == nil || !errors.Is(err, ErrAbsent) && !errors.Is(err, ErrVersion) || d.Command == nil {
		return link, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if link, err := d.knock(ctx); err == nil || !errors.Is(err, ErrAbsent) {
		return link, err
	}
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	return d.knock(ctx)
}

// knock returns a connection to a holder that runs, or ErrAbsent, or ErrVersion.
func (d *Dialer) knock(ctx context.Context) (*net.UnixConn, error) {
	if err := errors.Join(checkPath(d.Path), checkFolder(d.Path)); err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Timeout: askTimeout}).DialContext(ctx, "unix", d.Path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrAbsent
	}
	if err != nil {
		return nil, fmt.Errorf("reach the holder: %w", err)
	}
	link := conn.(*net.UnixConn)
	if err := checkPeer(link); err != nil {
		return nil, errors.Join(err, link.Close())
	}
	_ = link.SetDeadline(time.Now().Add(askTimeout))
	line, err := readSmall(link)
	if err != nil {
		_ = link.Close()
		return nil, fmt.Errorf("%w (%w)", ErrAbsent, err) // it is just ending
	}
	version, err := strconv.Atoi(strings.TrimPrefix(line, greeting))
	switch {
	case !strings.HasPrefix(line, greeting) || err != nil:
		return nil, errors.Join(fmt.Errorf("%s is not a holder's socket", d.Path), link.Close())
	case version != Version:
		_, _ = fmt.Fprint(link, "END the bridge is upgraded\n")
		_, _ = io.Copy(io.Discard, link) // until it has said goodbye
		return nil, errors.Join(ErrVersion, link.Close())
	}
	_ = link.SetDeadline(time.Time{})
	return link, nil
}

// start runs a holder, which outlives this process.
func (d *Dialer) start(ctx context.Context) error {
	cmd := d.Command()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true // what happens at the terminal, or to the server's group, is not its affair
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	// Not our own, which somebody may read until its end.
	log, err := os.OpenFile(strings.TrimSuffix(d.Path, ".sock")+".log", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the holder's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the holder of IRC connections: %w", err)
	}
	said := make(chan bool, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		said <- line == Ready+"\n"
		_ = cmd.Wait()
	}()
	select {
	case ok := <-said:
		if !ok {
			return fmt.Errorf("the holder of IRC connections did not start; %s says why", log.Name())
		}
		return nil
	case <-time.After(startTimeout):
	case <-ctx.Done():
	}
	_ = cmd.Process.Kill()
	return errors.New("the holder of IRC connections does not start")
}

// ask sends a request and returns where the answer comes from.
func (d *Dialer) ask(ctx context.Context, verb string, request any) (*net.UnixConn, error) {
	link, err := d.reach(ctx)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(request)
	if err == nil {
		_, err = fmt.Fprintf(link, "%s %s\n", verb, text)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ask the holder: %w", err), link.Close())
	}
	return link, nil
}

// List returns the connections that are held. It starts no holder.
func (d *Dialer) List(ctx context.Context) ([]Listed, error) {
	link, err := d.knock(ctx)
	if errors.Is(err, ErrAbsent) || errors.Is(err, ErrVersion) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = link.Close() }()
	_ = link.SetDeadline(time.Now().Add(askTimeout))
	var list []Listed
	if _, err := fmt.Fprint(link, "LIST {}\n"); err != nil {
		return nil, fmt.Errorf("ask the holder: %w", err)
	}
	if err := json.NewDecoder(link).Decode(&list); err != nil {
		return nil, fmt.Errorf("what the holder holds: %w", err)
	}
	return list, nil
}

// End has the holder, if one runs, quit all connections with these words, and end. It waits for that.
func (d *Dialer) End(ctx context.Context, words string) error {
	link, err := d.knock(ctx)
	if errors.Is(err, ErrAbsent) || errors.Is(err, ErrVersion) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = link.Close() }()
	_ = link.SetDeadline(time.Now().Add(askTimeout))
	if _, err := fmt.Fprintf(link, "END %s\n", words); err != nil {
		return fmt.Errorf("end the holder: %w", err)
	}
	_, _ = io.Copy(io.Discard, link)
	return nil
}

// Take takes a connection up that is held, or returns nil when there is none. It starts no holder.
func (d *Dialer) Take(ctx context.Context, req Request) (*Conn, State, error) {
	link, err := d.knock(ctx)
	if errors.Is(err, ErrAbsent) || errors.Is(err, ErrVersion) {
		return nil, State{}, nil
	}
	if err != nil {
		return nil, State{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = link.Close() })
	defer stop()
	text, err := json.Marshal(req)
	if err != nil {
		return nil, State{}, err
	}
	if _, err := fmt.Fprintf(link, "TAKE %s\n", text); err != nil {
		return nil, State{}, errors.Join(fmt.Errorf("ask the holder: %w", err), link.Close())
	}
	line, err := readSmall(link)
	if err != nil {
		return nil, State{}, errors.Join(fmt.Errorf("ask the holder: %w", err), link.Close())
	}
	rest, ok := strings.CutPrefix(line, "OK ")
	if !ok {
		return nil, State{}, link.Close()
	}
	var state State
	if err := json.Unmarshal([]byte(rest), &state); err != nil {
		return nil, State{}, errors.Join(fmt.Errorf("what the holder holds: %w", err), link.Close())
	}
	return newConn(link, state.Address), state, nil
}

// Dial has the holder make a connection as spec says, which is JSON of the DialFunc's. tcp hears of it before the server can say
// anything.
func (d *Dialer) Dial(ctx context.Context, req Request, spec any, tcp func(Address)) (*Conn, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	link, err := d.ask(ctx, "DIAL", dialRequest{req, text})
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = link.Close() })
	defer stop()
	for {
		line, err := readSmall(link)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("the holder of IRC connections: %w", err), link.Close())
		}
		verb, rest, _ := strings.Cut(line, " ")
		var at Address
		switch verb {
		case "ERR":
			return nil, errors.Join(errors.New(rest), link.Close())
		case "TCP", "OK":
			if err := json.Unmarshal([]byte(rest), &at); err != nil {
				return nil, errors.Join(errFrame, link.Close())
			}
		default:
			return nil, errors.Join(errFrame, link.Close())
		}
		if verb == "OK" {
			return newConn(link, at), nil
		}
		tcp(at)
	}
}

// Conn is an IRC connection that the holder owns, as the server sees it. Close leaves it to a successor.
type Conn struct {
	*net.UnixConn
	address Address
	reader  ircreader.Reader
	writing sync.Mutex // held while frames are written
}

func newConn(link *net.UnixConn, address Address) *Conn {
	c := &Conn{UnixConn: link, address: address}
	c.reader.Initialize(link, initialFrame, maxFrame)
	return c
}

// Address is where the connection goes.
func (c *Conn) Address() Address { return c.address }

// LocalAddr implements net.Conn: the end of the IRC connection.
func (c *Conn) LocalAddr() net.Addr { return tcpAddr(c.address.Local) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return tcpAddr(c.address.Remote) }

// Secure reports whether the connection has TLS.
func (c *Conn) Secure() bool { return c.address.TLS }

func tcpAddr(text string) net.Addr {
	addr, err := net.ResolveTCPAddr("tcp", text) // of numbers
	if err != nil {
		return &net.TCPAddr{}
	}
	return addr
}

// Next returns the next line. io.EOF is that the IRC server has closed the connection.
func (c *Conn) Next() (Line, error) {
	raw, err := c.reader.ReadLine()
	if err != nil {
		return Line{}, fmt.Errorf("the holder of IRC connections: %w", err)
	}
	if len(raw) < 2 {
		return Line{}, errFrame
	}
	switch raw[0] {
	case 'L':
		return parseLineFrame(raw[2:])
	case 'E':
		if why := string(raw[2:]); why != io.EOF.Error() {
			return Line{}, errors.New(why)
		}
		return Line{}, io.EOF
	}
	return Line{}, errFrame
}

// Send writes lines with none between them, without line ends. A tag that is not 0 is among State.Written later.
func (c *Conn) Send(tag uint64, lines []string) error { return c.frame(writeFrames(tag, lines)) }

// Confirm tells that lines need not be kept any more, and which channels this connection leads.
func (c *Conn) Confirm(seq uint64, leads []string) error { return c.frame(ackFrame(seq, leads)) }

// End ends the IRC connection, with QUIT if there are words.
func (c *Conn) End(words string) error {
	return errors.Join(c.frame([]byte("X "+words+"\n")), c.Close())
}

func (c *Conn) frame(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := c.Write(b)
	return err
}

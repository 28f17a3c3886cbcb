package irc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"maunium.net/go/mautrix/id"

	"causeway/bridges"
	"causeway/bridges/irc/holder"
)

// keeper makes the connections of a network through the holder, and finds those of the process before.
type keeper struct {
	dialer *holder.Dialer
	net    *network
	hold   time.Duration
}

// startKeeper finds what a process before has left. Where connections are not to be kept (any more), what is left says
// goodbye.
func (c *Connector) startKeeper(ctx context.Context) error {
	dir, err := c.host.DataDir()
	if errors.Is(err, bridges.ErrNoDataDir) && c.cfg.Handover == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bridges.irc.handover: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("bridges.irc.handover: %w", err)
	}
	dialer := &holder.Dialer{Path: holder.SocketIn(dir)}
	if c.cfg.Handover == 0 || c.holderCommand == nil {
		c.endHeld(ctx, dialer)
		return nil
	}
	dialer.Command = func() *exec.Cmd { return c.holderCommand(dialer.Path) }
	list, err := dialer.List(ctx)
	if err != nil {
		return fmt.Errorf("bridges.irc.handover: %w", err)
	}
	for _, n := range c.networks {
		n.keeper = &keeper{dialer: dialer, net: n, hold: c.cfg.Handover}
		n.dial = n.keeper.dial
	}
	return c.expectHeld(ctx, dialer, list)
}

// endHeld has those say goodbye whom a process before has left. That nobody is left is the rule, and no error keeps the bridge
// from starting.
func (c *Connector) endHeld(ctx context.Context, dialer *holder.Dialer) {
	if _, err := os.Stat(dialer.Path); err != nil {
		return
	}
	if err := dialer.End(ctx, quitMessage); err != nil {
		c.br.Log.Warn().Err(err).Msg("IRC connections of before are not ended")
	}
}

// expectHeld makes the clients of the connections that are held: their nicks are known to be ours before any line is read,
// and the connection that a channel was listened to by is so again.
func (c *Connector) expectHeld(ctx context.Context, dialer *holder.Dialer, list []holder.Listed) error {
	var unwanted sync.WaitGroup
	defer unwanted.Wait()
	for _, held := range list {
		n, user := c.networks[held.Network], id.UserID(held.User)
		if n == nil || held.Mark != n.cfg.Address || c.br.GetCachedUserLoginByID(loginID(held.Network, user)) == nil {
			unwanted.Go(func() {
				conn, _, err := dialer.Take(ctx, holder.Request{Key: held.Key, Mark: held.Mark})
				if err == nil && conn != nil {
					_ = conn.End("left all rooms")
				}
			})
			continue
		}
		client := newClient(n, user)
		client.keeping.waits, client.downSince = true, time.Now()
		client = n.adopt(client)
		n.expectClient(client, held)
	}
	return nil
}

// expectClient notes the nick and the channels of a client whose connection is held.
func (n *network) expectClient(client *client, held holder.Listed) {
	nick, mask := n.rawText(held.Nick), ""
	if held.UserHost != "" {
		mask = nick + "!" + held.UserHost
	}
	n.renamePuppet(client, "", nick, mask)
	client.shownNick.Store(nick)
	for _, name := range held.Channels {
		if name = n.rawText(name); validChannel(name) {
			n.channel(name).expectHeld(client, slices.Contains(held.Leads, name))
		}
	}
}

// rawText is a name that the holder tells as the server writes it.
func (n *network) rawText(name string) string { return n.charset.read([]byte(holder.RawName(name))) }

// request is how a user's connection is asked for.
func (k *keeper) request(user id.UserID) holder.Request {
	return holder.Request{
		Key: holder.Key{Network: k.net.name, User: string(user)}, Mark: k.net.cfg.Address, HoldMS: k.hold.Milliseconds(),
	}
}

// dial is network.dial through the holder.
func (k *keeper) dial(ctx context.Context, cfg NetworkConfig, from source) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	spec, err := newDialSpec(cfg, from)
	if err != nil {
		return nil, err
	}
	told := func(holder.Address) {}
	if from.ident != nil {
		defer from.ident.begin()()
		told = func(at holder.Address) { from.ident.add(heldEnds(at), username(from.user)) }
	}
	conn, err := k.dialer.Dial(ctx, k.request(from.user), spec, told)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// take takes up the connection of a user, or returns nil when there is none.
func (k *keeper) take(ctx context.Context, user id.UserID) (*holder.Conn, holder.State, error) {
	conn, state, err := k.dialer.Take(ctx, k.request(user))
	if d := k.net.conn.identd; err == nil && conn != nil && d != nil && k.net.cfg.Dial.SOCKS5 == "" {
		d.add(conn, username(user))
	}
	return conn, state, err
}

// ends are the addresses of a connection that another process has.
type ends struct {
	net.Conn
	local, remote *net.TCPAddr
}

func heldEnds(at holder.Address) ends {
	local, err := net.ResolveTCPAddr("tcp", at.Local)
	remote, err2 := net.ResolveTCPAddr("tcp", at.Remote)
	if err != nil || err2 != nil {
		local, remote = &net.TCPAddr{}, &net.TCPAddr{}
	}
	return ends{local: local, remote: remote}
}

func (e ends) LocalAddr() net.Addr  { return e.local }
func (e ends) RemoteAddr() net.Addr { return e.remote }

// expectHeld opens the account of a client that goes on in a channel, so that it is right however many lines the others
// read before it; and keeps the lead for who had it in the process before.
func (ch *channel) expectHeld(c *client, leads bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.feed.open(c).anchored = true
	if leads {
		ch.feed.reserved = &c
	}
}

// pause takes out a client that goes on in the next process. If it led, nobody does until then: what others hear is kept with
// their connections, and another's account of the same lines would make them other messages.
func (ch *channel) pause(c *client) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.feed.leads(c) {
		ch.feed.lead, ch.feed.reserved = nil, &c
	}
	ch.feed.remove(c)
}

// unreserve lets others lead a channel when who was to has not come back.
func (ch *channel) unreserve(c *client) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if i := ch.feed.find(c); i >= 0 && !ch.feed.members[i].present {
		ch.feed.loosen(c)
	}
	if ch.feed.reserved == nil || *ch.feed.reserved != c {
		return
	}
	if deliver, next := ch.feed.yield(); next != nil {
		ch.handOver(deliver)
		(*next).box.add(resyncRequest{channel: ch.lane.called()})
	}
}

// unreserve gives up the lead of all channels.
func (n *network) unreserve(c *client) {
	n.mu.Lock()
	channels := make([]*channel, 0, len(n.channels))
	for _, ch := range n.channels {
		channels = append(channels, ch)
	}
	n.mu.Unlock()
	for _, ch := range channels {
		ch.unreserve(c)
	}
}

// resume lets a client take part that has been in the channel all the time. Its account is right from where it goes on. It reports
// whether nobody led the channel in the process before, which then was about to fetch the history: the client has to do so.
func (ch *channel) resume(c *client, history bool) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	first := history && ch.feed.lead == nil && ch.feed.reserved == nil
	ch.feed.add(c)
	ch.feed.open(c).anchored = true
	ch.holding = ch.holding || first
	return first
}

// standing is how far a client may confirm what it has heard of the channel: what it knows and the leader has not seen yet is
// kept. leads tells whether its view is the one that counts, which nobody's is while the history is fetched: what waits for that
// need not be kept, because a successor fetches it.
func (ch *channel) standing(c *client, upTo uint64) (safe uint64, leads bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if i := ch.feed.find(c); i >= 0 {
		for _, s := range ch.feed.members[i].ring {
			if time.Since(s.at) <= staleAfter {
				upTo = min(upTo, s.line-1)
				break
			}
		}
	}
	return upTo, ch.feed.leads(c) && !ch.holding
}

// yield has another lead when nobody does, and returns who, and what that one has to deliver first.
func (f *feed[M, T]) yield() (deliver []T, next *M) {
	f.reserved = nil
	if f.lead != nil {
		return nil, nil
	}
	if f.lead = f.successor(); f.lead == nil {
		return nil, nil
	}
	return f.flush(), &f.lead.member
}

// sorted are names in one order, for frames.
func sorted(names []string) []string { slices.Sort(names); return names }

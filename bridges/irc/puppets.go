package irc

import "time"

// puppetMemory is how long the mask of a connection of ours is remembered after it ended. A connection that lags
// behind still sees it come and go.
const puppetMemory = 5 * time.Minute

// puppets knows which nicks are our own connections', so that what they say does not come back as somebody
// else's words. A nick is entered when the server has given it to us, which is before it can join anything.
type puppets struct {
	fold  Casemapping
	nicks map[string]*client
	masks map[string]pastPuppet
	// gone are connections that others have seen quit, and that may not know it yet, by folded nick. Their nick may be a stranger's
	// next; after a netsplit they come back as they were.
	gone map[string]gonePuppet
}

type gonePuppet struct {
	c    *client
	mask string
}

type pastPuppet struct {
	c     *client
	until time.Time
}

func newPuppets(fold Casemapping) puppets {
	return puppets{fold: fold, nicks: map[string]*client{}, masks: map[string]pastPuppet{}, gone: map[string]gonePuppet{}}
}

func (p *puppets) lookup(nick, mask string, now time.Time) *client {
	if c, ok := p.nicks[p.fold.Fold(nick)]; ok {
		return c
	}
	if gone, ok := p.gone[p.fold.Fold(nick)]; ok && (mask == "" || mask == gone.mask) {
		return gone.c
	}
	if past, ok := p.masks[mask]; ok && mask != "" && now.Before(past.until) {
		return past.c
	}
	return nil
}

// quit records that others have seen a connection end.
func (p *puppets) quit(c *client, nick, mask string) {
	if key := p.fold.Fold(nick); p.nicks[key] == c && mask != nick {
		delete(p.nicks, key)
		p.gone[key] = gonePuppet{c: c, mask: mask}
	}
}

// rename records the nick of a connection: from is empty when it begins, to when it ends. mask is its last
// nick!user@host, if known.
func (p *puppets) rename(c *client, from, to, mask string, now time.Time) {
	for key, gone := range p.gone {
		if gone.c == c {
			delete(p.gone, key)
		}
	}
	if key := p.fold.Fold(from); from != "" && p.nicks[key] == c {
		delete(p.nicks, key)
	}
	if to != "" {
		p.nicks[p.fold.Fold(to)] = c
	}
	if mask != "" {
		p.masks[mask] = pastPuppet{c: c, until: now.Add(puppetMemory)}
	}
	for m, past := range p.masks {
		if now.After(past.until) {
			delete(p.masks, m)
		}
	}
}

package irc

import (
	"fmt"
	"slices"
	"time"
)

// ContentConfig says how messages look on IRC.
type ContentConfig struct {
	// Colours are those that are sent: 16 (the default, which every client knows), 99, hex or none.
	Colours palette `yaml:"colours,omitempty"`
	// Replies is how a reply begins: quote (the default) with a few words of what it answers, where the network has no tag
	// for it, nick with only the nick of who is answered, none.
	Replies string `yaml:"replies,omitempty"`
	// ReactionText says reactions in words where the network has no tag for them; otherwise they are not sent.
	ReactionText bool `yaml:"reaction_text,omitempty"`
	// RedactionText says in words that a message was deleted, where the network cannot delete it.
	RedactionText bool `yaml:"redaction_text,omitempty"`
	// Typing is which way goes who is typing: both (the default), send, receive or none.
	Typing string `yaml:"typing,omitempty"`
	// EditWindow is how long an edit waits for further ones, which become one line with it. Default 3s.
	EditWindow time.Duration `yaml:"edit_window,omitempty"`
	// LongLines is the number of lines from which a message becomes a link to its text, if files have addresses that
	// outsiders can open; 0 (the default) means never.
	LongLines int `yaml:"long_lines,omitempty"`
	// LongCode is the same for messages that contain a block of code.
	LongCode int `yaml:"long_code,omitempty"`
}

const defaultEditWindow = 3 * time.Second

// maxEditWindow is the longest that an edit may wait.
const maxEditWindow = time.Minute

// The ways of a reply, and of typing.
const (
	replyQuote = "quote"
	replyNick  = "nick"
	wayBoth    = "both"
	waySend    = "send"
	wayReceive = "receive"
	wayNone    = "none"
)

func (c ContentConfig) validate(field string) error {
	switch {
	case !slices.Contains([]palette{"", palette16, palette99, paletteHex, paletteNone}, c.Colours):
		return fmt.Errorf("%s.colours: %q is none of 16, 99, hex, none", field, c.Colours)
	case !slices.Contains([]string{"", replyQuote, replyNick, wayNone}, c.Replies):
		return fmt.Errorf("%s.replies: %q is none of quote, nick, none", field, c.Replies)
	case !slices.Contains([]string{"", wayBoth, waySend, wayReceive, wayNone}, c.Typing):
		return fmt.Errorf("%s.typing: %q is none of both, send, receive, none", field, c.Typing)
	case c.EditWindow < 0 || c.EditWindow > maxEditWindow:
		return fmt.Errorf("%s.edit_window: must be from 0s to %v", field, maxEditWindow)
	case c.LongLines < 0:
		return fmt.Errorf("%s.long_lines: must not be negative", field)
	case c.LongCode < 0:
		return fmt.Errorf("%s.long_code: must not be negative", field)
	}
	return nil
}

func (c ContentConfig) withDefaults() ContentConfig {
	if c.Colours == "" {
		c.Colours = palette16
	}
	if c.Replies == "" {
		c.Replies = replyQuote
	}
	if c.Typing == "" {
		c.Typing = wayBoth
	}
	if c.EditWindow == 0 {
		c.EditWindow = defaultEditWindow
	}
	return c
}

func (c ContentConfig) sendsTyping() bool    { return c.Typing == wayBoth || c.Typing == waySend }
func (c ContentConfig) receivesTyping() bool { return c.Typing == wayBoth || c.Typing == wayReceive }

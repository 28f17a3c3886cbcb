package irc

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"maunium.net/go/mautrix/id"
)

const (
	// maxDepth is how deep elements may stand in each other for those inside to change the looks.
	maxDepth = 64
	// quoteSign begins each line of a quotation.
	quoteSign = "> "
)

// namer returns what a Matrix user or room is called on IRC, or "" when it is nothing there.
type namer struct {
	user func(id.UserID) string
	room func(id.RoomAlias) string
}

// htmlReader turns org.matrix.custom.html into lines. It takes tags one by one and never builds a tree, so that nothing a
// stranger writes costs more than its length. Client-Server API, m.room.message msgtypes.
type htmlReader struct {
	names namer
	open  []element
	lines [][]span
	line  []span
	begun bool  // something was written since the last line ended
	gap   bool  // white space stands before the next text
	space style // of that white space
	deep  int   // elements that are open and too deep to count
}

// element is one that is open.
type element struct {
	tag    string
	look   style
	hidden bool   // nothing inside is shown
	pre    bool   // white space counts
	href   string // of a link
	text   string // what a link shows, as far as it has been read
	quote  bool
	item   int    // number of the last item of a list, from 1; 0 for none
	marker string // that is to be written before the next text
}

// readHTML reads a message's formatted body.
func readHTML(body string, names namer) [][]span {
	r := htmlReader{names: names, open: []element{{}}}
	tokens := html.NewTokenizer(strings.NewReader(body))
	for {
		switch kind := tokens.Next(); kind {
		case html.ErrorToken:
			r.closeTo(1)
			r.endLine(false)
			return r.lines
		case html.TextToken:
			r.text(string(tokens.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			r.start(tokens.Token())
		case html.EndTagToken:
			name, _ := tokens.TagName()
			r.end(string(name))
		}
	}
}

func (r *htmlReader) top() *element { return &r.open[len(r.open)-1] }

// blocks are the elements that stand on lines of their own.
var blocks = map[string]bool{
	"p": true, "div": true, "h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true, "blockquote": true,
	"ul": true, "ol": true, "li": true, "pre": true, "table": true, "tr": true, "caption": true, "details": true, "summary": true,
}

// hiddenTags show nothing of what is in them. mx-reply is the old fallback of replies.
var hiddenTags = map[string]bool{"mx-reply": true, "script": true, "style": true, "title": true, "head": true}

// looks is what an element does to the text in it.
var looks = map[string]func(s *style){
	"b": bolden, "strong": bolden, "h1": bolden, "h2": bolden, "h3": bolden, "h4": bolden, "h5": bolden, "h6": bolden, "th": bolden,
	"i": func(s *style) { s.italic = true }, "em": func(s *style) { s.italic = true },
	"u": func(s *style) { s.underline = true }, "ins": func(s *style) { s.underline = true },
	"s": strikeOut, "del": strikeOut, "strike": strikeOut,
	"code": monospace, "pre": monospace, "tt": monospace,
}

func bolden(s *style)    { s.bold = true }
func strikeOut(s *style) { s.strike = true }
func monospace(s *style) { s.mono = true }

func (r *htmlReader) start(t html.Token) {
	switch t.Data {
	case "br":
		r.endLine(true)
		return
	case "hr":
		r.endLine(false)
		r.write("---", r.top().look)
		r.endLine(false)
		return
	case "img":
		r.text(firstAttr(t, "alt", "title"))
		return
	case "wbr", "input", "meta", "link", "col":
		return
	}
	if len(r.open) >= maxDepth {
		r.deep++
		return
	}
	if t.Data == "li" { // it ends the item before it
		for i := len(r.open) - 1; i > 0 && r.open[i].tag != "ul" && r.open[i].tag != "ol"; i-- {
			if r.open[i].tag == "li" {
				r.closeTo(i)
				break
			}
		}
	}
	parent := r.top()
	e := element{tag: t.Data, look: parent.look, hidden: parent.hidden || hiddenTags[t.Data], pre: parent.pre || t.Data == "pre"}
	if blocks[t.Data] {
		r.endLine(false)
	}
	if change := looks[t.Data]; change != nil {
		change(&e.look)
	}
	switch t.Data {
	case "span", "font":
		colourAttrs(t, &e.look)
	case "blockquote":
		e.quote = true
	case "li":
		e.marker = r.marker(parent)
	case "td", "th":
		r.gap, r.space = true, parent.look
	}
	r.open = append(r.open, e)
	if t.Data == "a" {
		r.link(firstAttr(t, "href"))
	}
}

// marker begins an item of a list.
func (r *htmlReader) marker(list *element) string {
	if list.tag != "ol" {
		return "• "
	}
	list.item++
	return strconv.Itoa(list.item) + ". "
}

func colourAttrs(t html.Token, look *style) {
	for _, a := range t.Attr {
		colour := strings.ToLower(strings.TrimPrefix(a.Val, "#"))
		valid := len(colour) == 6 && isHex(colour)
		switch a.Key {
		case "data-mx-color", "color":
			if valid {
				look.fg = colour
			}
		case "data-mx-bg-color":
			if valid {
				look.bg = colour
			}
		case "data-mx-spoiler":
			look.spoiler = true
		}
	}
}

func firstAttr(t html.Token, keys ...string) string {
	for _, key := range keys {
		for _, a := range t.Attr {
			if a.Key == key && a.Val != "" {
				return a.Val
			}
		}
	}
	return ""
}

// link begins a link. One to a user or room that is on IRC is their name there, whatever it shows.
func (r *htmlReader) link(href string) {
	e := r.top()
	if name := r.named(href); name != "" {
		if !e.hidden {
			r.write(name, e.look)
		}
		e.hidden = true
		return
	}
	u, err := url.Parse(href)
	if err == nil && slices.Contains([]string{"http", "https", "ftp", "magnet"}, strings.ToLower(u.Scheme)) && u.Host+u.Opaque+u.RawQuery != "" {
		e.href = cleanText(href)
	}
}

// named is what a link to a user or room is called on IRC, or "".
func (r *htmlReader) named(href string) string {
	uri, err := id.ParseMatrixURIOrMatrixToURL(href)
	if err != nil || uri == nil || uri.EventID() != "" {
		return ""
	}
	switch user, alias := uri.UserID(), uri.RoomAlias(); {
	case user != "" && r.names.user != nil:
		return r.names.user(user)
	case alias != "" && r.names.room != nil:
		return r.names.room(alias)
	}
	return ""
}

func (r *htmlReader) end(tag string) {
	if r.deep > 0 {
		r.deep--
		return
	}
	for i := len(r.open) - 1; i > 0; i-- {
		if r.open[i].tag == tag {
			r.closeTo(i)
			return
		}
	}
}

// closeTo closes all elements from the nth on.
func (r *htmlReader) closeTo(n int) {
	for len(r.open) > n {
		e := *r.top()
		if shown := strings.TrimSpace(e.text); e.href != "" && !e.hidden && !sameAddress(shown, e.href) {
			if shown != "" {
				r.write(" ("+e.href+")", e.look)
			} else {
				r.write(e.href, e.look)
			}
		}
		r.open = r.open[:len(r.open)-1]
		if blocks[e.tag] {
			r.endLine(false)
		}
	}
}

// sameAddress reports whether a link shows where it leads.
func sameAddress(shown, href string) bool {
	bare := func(s string) string {
		_, rest, ok := strings.Cut(s, "://")
		if !ok {
			rest = s
		}
		return strings.TrimSuffix(rest, "/")
	}
	return bare(shown) == bare(href)
}

// text takes text, whose white space counts only in pre.
func (r *htmlReader) text(text string) {
	e := r.top()
	if e.hidden || text == "" {
		return
	}
	for i := range r.open {
		if r.open[i].href != "" {
			r.open[i].text += text
		}
	}
	if e.pre {
		for i, line := range strings.Split(strings.ReplaceAll(text, "\r", ""), "\n") {
			if i > 0 {
				r.endLine(true)
			}
			r.write(line, e.look)
		}
		return
	}
	if isSpace(rune(text[0])) && !r.gap {
		r.gap, r.space = true, e.look
	}
	r.write(strings.Join(strings.FieldsFunc(text, isSpace), " "), e.look)
	if isSpace(rune(text[len(text)-1])) {
		r.gap, r.space = true, e.look
	}
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f' }

// write adds text to the line, after what stands before it: the signs of quotations, the markers of items, a space.
func (r *htmlReader) write(text string, look style) {
	text = cleanText(text)
	if text == "" {
		return
	}
	if !r.begun {
		for i := range r.open {
			if r.open[i].quote {
				r.line = appendSpan(r.line, quoteSign, style{})
			}
			r.line = appendSpan(r.line, r.open[i].marker, style{})
			r.open[i].marker = ""
		}
	} else if r.gap && !strings.HasPrefix(text, " ") {
		r.line = appendSpan(r.line, " ", r.space)
	}
	r.begun, r.gap = true, false
	r.line = appendSpan(r.line, text, look)
}

// endLine ends the line. One that is empty is only kept if it was asked for.
func (r *htmlReader) endLine(asked bool) {
	if r.begun || asked && !r.top().hidden {
		r.lines = append(r.lines, r.line)
	}
	r.line, r.begun, r.gap = nil, false, false
}

package accountpages

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/networks"
)

// netRoomsPage shows the rooms that are connected with chats of a network, and connects others.
type netRoomsPage struct {
	Network networks.Bridge
	Form    networks.LinkForm
	Rows    []linkRow
	Wish    networks.LinkWish // what is entered
}

// Action is the address of the form.
func (n netRoomsPage) Action() string { return networkAddress(n.Network.ID, "rooms") }

// CanLink tells whether there is anything to connect rooms with.
func (n netRoomsPage) CanLink() bool { return n.Form.PlaceName == "" || len(n.Form.Places) > 0 }

// has tells whether the form shows what is wrong with a field.
func (n netRoomsPage) has(field string) bool {
	return field == "room" || field == "place" || field == "chat" || field == "whom" && n.Form.WhomName != ""
}

// linkRow is a room with a chat.
type linkRow struct {
	networks.RoomLink
	network string
	Words   string // how it is
	Tone    string // good, bad, or neither
}

// Title is what the room is called.
func (l linkRow) Title() string {
	if l.Name != "" {
		return l.Name
	}
	return string(l.Room)
}

// End is the address for ending it.
func (l linkRow) End() string {
	return networkAddress(l.network, "rooms/end") + "?" + url.Values{"room": {string(l.Room)}, "place": {l.Place}, "chat": {l.Chat}}.Encode()
}

// Waits tells that it is not allowed yet.
func (l linkRow) Waits() bool { return l.State == networks.LinkWaiting }

// linkStates are the words for states of a link, with their tones.
var linkStates = map[string]struct{ words, tone string }{
	networks.LinkWaiting:    {"Waiting for somebody on the network to allow it", ""},
	networks.LinkConnecting: {"Being connected", ""},
	networks.LinkConnected:  {"Connected", "good"},
	networks.LinkEnding:     {"Being disconnected", ""},
	networks.LinkRefused:    {"It was refused on the network", "bad"},
	networks.LinkUnanswered: {"Nobody on the network could allow it, or has answered", "bad"},
}

func showableLink(network string, l networks.RoomLink) linkRow {
	state := linkStates[l.State]
	row := linkRow{RoomLink: l, network: network, Words: state.words, Tone: state.tone}
	if row.Waits() && l.UntilTS > 0 {
		row.Words += ", until " + date(l.UntilTS)
	}
	row.Words = httpapi.Sentence(row.Words)
	return row
}

// netRoomsPage makes the page.
func (p *Pages) netRoomsPage(ctx context.Context, v *visit) (netRoomsPage, error) {
	bridge, err := p.Networks.Bridge(v.Path("network"))
	if err != nil {
		return netRoomsPage{}, err
	}
	all, err := p.Networks.RoomLinks(ctx, v.browser.UserID, bridge.ID)
	page := netRoomsPage{Network: bridge, Form: all.Form}
	for _, l := range all.Links {
		page.Rows = append(page.Rows, showableLink(bridge.ID, l))
	}
	return page, err
}

// showNetRooms is GET rooms.
func (p *Pages) showNetRooms(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	page, err := p.netRoomsPage(ctx, v)
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "netrooms", page)
	return nil
}

// wishOf is what somebody has entered.
func wishOf(form url.Values) networks.LinkWish {
	text := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	return networks.LinkWish{Room: text("room"), Place: text("place"), Chat: text("chat"), Whom: text("whom")}
}

// linkRoom is POST rooms.
func (p *Pages) linkRoom(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	page, err := p.netRoomsPage(ctx, v)
	if err != nil {
		return err
	}
	page.Wish = wishOf(v.PostForm)
	for _, needed := range []struct{ field, value, words string }{
		{"room", page.Wish.Room, "Say which room."}, {"chat", page.Wish.Chat, "Say with what."},
	} {
		if needed.value == "" {
			return v.again(at(needed.field, httpapi.Error(http.StatusBadRequest, "M_MISSING_PARAM", "%s", needed.words)), "netrooms", page)
		}
	}
	link, err := p.Networks.LinkRoom(ctx, v.browser.UserID, page.Network.ID, page.Wish)
	if err != nil {
		if field := networks.WrongField(err); page.has(field) {
			err = at(field, err)
		}
		return v.again(err, "netrooms", page)
	}
	done := "netlink"
	if link.State == networks.LinkWaiting {
		done = "netasked"
	}
	return v.goTo(page.Action() + "?done=" + done)
}

// netUnlinkPage asks before a link is ended.
type netUnlinkPage struct {
	Network networks.Bridge
	Link    linkRow
	Action  string
}

// unlinkPage is the page about a link that an address or a form names.
func (p *Pages) unlinkPage(ctx context.Context, v *visit, named url.Values) (netUnlinkPage, error) {
	page, err := p.netRoomsPage(ctx, v)
	if err != nil {
		return netUnlinkPage{}, err
	}
	wish := wishOf(named)
	for _, row := range page.Rows {
		if row.MayEnd && string(row.Room) == wish.Room && row.Place == wish.Place && row.Chat == wish.Chat {
			return netUnlinkPage{page.Network, row, networkAddress(page.Network.ID, "rooms/end")}, nil
		}
	}
	return netUnlinkPage{}, httpapi.NotFound("You have no such room.")
}

// showUnlink is GET rooms/end.
func (p *Pages) showUnlink(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	page, err := p.unlinkPage(ctx, v, v.URL.Query())
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "netunlink", page)
	return nil
}

// unlinkRoom is POST rooms/end.
func (p *Pages) unlinkRoom(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	page, err := p.unlinkPage(ctx, v, v.PostForm)
	if err != nil {
		return err
	}
	if err := p.Networks.UnlinkRoom(ctx, v.browser.UserID, page.Network.ID, wishOf(v.PostForm)); err != nil {
		return v.again(err, "netunlink", page)
	}
	done := "netend"
	if page.Link.Waits() {
		done = "netback"
	}
	return v.goTo(networkAddress(page.Network.ID, "rooms") + "?done=" + done)
}

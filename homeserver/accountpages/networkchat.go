package accountpages

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/networks"
)

// maxContacts is how many contacts a page shows; others are found by their names.
const maxContacts = 300

// chatPage is for starting a chat.
type chatPage struct {
	Network    networks.Network
	Action     string
	Logins     []loginRow
	Login      string // the one that is chosen
	Identifier string
	Found      *networks.Contact
	Contacts   []networks.Contact
	More       int    // contacts that are not shown
	NoContacts string // why there are none
}

// What is the word for what somebody is looked for by.
func (c chatPage) What() string {
	can := c.Network.Can.ResolveIdentifier
	var by []string
	if can.LookupUsername || can.CreateDM && !can.LookupPhone && !can.LookupEmail {
		by = append(by, "name")
	}
	if can.LookupPhone {
		by = append(by, "telephone number")
	}
	if can.LookupEmail {
		by = append(by, "email address")
	}
	return strings.Join(by, " or ")
}

// chatPage makes the page, with the contacts if wanted.
func (p *Pages) chatPage(ctx context.Context, v *visit, login string, contacts bool) (chatPage, error) {
	n, err := p.Networks.Network(ctx, v.browser.UserID, v.Path("network"))
	if err != nil {
		return chatPage{}, err
	}
	page := chatPage{Network: n, Action: networkAddress(n.ID, "chat"), Login: login}
	for _, l := range n.Logins {
		page.Logins = append(page.Logins, showableLogin(n.ID, l))
	}
	if page.Login == "" && len(page.Logins) > 0 {
		page.Login = page.Logins[0].ID
	}
	if !contacts || len(page.Logins) == 0 || !n.Can.ResolveIdentifier.ContactList {
		return page, nil
	}
	page.Contacts, err = p.Networks.Contacts(ctx, v.browser.UserID, n.ID, page.Login)
	if err != nil {
		if _, page.NoContacts = message(err); page.NoContacts == "" {
			return page, err
		}
	}
	if page.More = len(page.Contacts) - maxContacts; page.More > 0 {
		page.Contacts = page.Contacts[:maxContacts]
	}
	return page, nil
}

// showChat is GET chat.
func (p *Pages) showChat(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	page, err := p.chatPage(ctx, v, v.Query("login_id"), true)
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "netchat", page)
	return nil
}

// startChat is POST chat: it looks somebody up and, when the user has seen whom, makes a room with them.
func (p *Pages) startChat(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	start := v.PostForm.Get("do") == "start"
	page, err := p.chatPage(ctx, v, v.PostForm.Get("login_id"), false)
	if err != nil {
		return err
	}
	page.Identifier = strings.TrimSpace(v.PostForm.Get("identifier"))
	if page.Identifier == "" {
		err := httpapi.Error(http.StatusBadRequest, "M_MISSING_PARAM", "Say whom you want to talk to.")
		return v.again(at("identifier", err), "netchat", page)
	}
	find := p.Networks.Find
	if start {
		find = p.Networks.Chat
	}
	found, err := find(ctx, v.browser.UserID, page.Network.ID, page.Login, page.Identifier)
	if err != nil {
		return v.again(at("identifier", err), "netchat", page)
	}
	if !start {
		page.Found = &found
		v.show(http.StatusOK, "netchat", page)
		return nil
	}
	if found.Room == "" {
		err := httpapi.Error(http.StatusBadGateway, "M_UNKNOWN", "The network has made no chat.")
		return v.again(at("identifier", err), "netchat", page)
	}
	v.show(http.StatusOK, "netroom", roomPage{page.Network, found, p.ServerName})
	return nil
}

// roomPage leads to the room of a chat.
type roomPage struct {
	Network networks.Network
	With    networks.Contact
	server  string
}

// Link opens the room in the client that the user chooses.
func (r roomPage) Link() string {
	return "https://matrix.to/#/" + url.PathEscape(string(r.With.Room)) + "?via=" + url.QueryEscape(r.server)
}

// Chat is the address for starting another chat.
func (r roomPage) Chat() string { return networkAddress(r.Network.ID, "chat") }

package accountpages

import (
	"context"
	"net/http"
	"net/url"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/networks"
)

// Paths of the pages about other networks. Those of the API are beside them (package networks).
const (
	pathNetworks  = "/_causeway/bridges/"
	pathNetwork   = pathNetworks + "{network}/"
	pathNetSignIn = pathNetwork + "signin"
	pathNetStep   = pathNetSignIn + "/{process}"
	pathNetLogout = pathNetwork + "logout"
	pathNetChat   = pathNetwork + "chat"
	pathNetRooms  = pathNetwork + "rooms"
	pathNetUnlink = pathNetRooms + "/end"
)

// networkRoutes are the pages about other networks, of a server that has bridges.
func (p *Pages) networkRoutes() []pageRoute {
	if len(p.Networks.Bridges()) == 0 {
		return nil
	}
	const read, device = httpapi.ClassRead, httpapi.ClassDevice
	return []pageRoute{
		{pathNetworks + "{$}", p.showNetworks, nil, "", read},
		{pathNetSignIn, p.showFlows, p.startFlow, device, read},
		{pathNetStep, p.showStep, p.takeStep, device, read},
		{pathNetLogout, p.showNetLogout, p.netLogout, device, read},
		{pathNetChat, p.showChat, p.startChat, httpapi.ClassDirectory, httpapi.ClassDirectory},
		{pathNetRooms, p.showNetRooms, p.linkRoom, httpapi.ClassJoin, read},
		{pathNetUnlink, p.showUnlink, p.unlinkRoom, httpapi.ClassJoin, read},
	}
}

// needsNetwork is needs for pages about other networks, which are not for those who may do nothing that others notice (Client-Server API,
// Account suspension).
func (p *Pages) needsNetwork(ctx context.Context, v *visit) (asked bool, err error) {
	if asked, err := p.needs(ctx, v); asked || err != nil {
		return asked, err
	}
	if v.browser.Suspended {
		return false, httpapi.Error(http.StatusForbidden, "M_USER_SUSPENDED", "Your account is suspended: you cannot use other networks.")
	}
	return false, nil
}

// networkAddress is that of a page about a network.
func networkAddress(network, page string) string {
	return pathNetworks + url.PathEscape(network) + "/" + page
}

// networkRow is a network in the list, with the user's logins.
type networkRow struct {
	networks.Network
	Problem string // why nothing is known of it
	Rows    []loginRow
}

// SignIn is the address for signing in.
func (n networkRow) SignIn() string { return networkAddress(n.ID, "signin") }

// Chat is the address for starting a chat.
func (n networkRow) Chat() string { return networkAddress(n.ID, "chat") }

// Rooms is the address for connecting rooms.
func (n networkRow) Rooms() string { return networkAddress(n.ID, "rooms") }

// loginRow is an account on a network.
type loginRow struct {
	networks.Login
	network string
	Words   string // how it is doing
	Tone    string // good, bad, or neither
	Again   bool   // the user has to sign in again
}

// Logout is the address for ending a login.
func (l loginRow) Logout() string { return withLogin(networkAddress(l.network, "logout"), l.ID) }

// SignIn is the address for signing in anew.
func (l loginRow) SignIn() string { return withLogin(networkAddress(l.network, "signin"), l.ID) }

func withLogin(address, login string) string {
	if login == "" {
		return address
	}
	return address + "?" + url.Values{"login_id": {login}}.Encode()
}

// Title is what a login is called.
func (l loginRow) Title() string {
	if l.Name != "" {
		return l.Name
	}
	return l.ID
}

// loginStates are the words for states of a login (bridgev2/status of mautrix-go), with their tones.
var loginStates = map[string]struct{ words, tone string }{
	"CONNECTED":            {"Connected", "good"},
	"BACKFILLING":          {"Connected; older messages are being fetched", "good"},
	"CONNECTING":           {"Connecting", ""},
	"TRANSIENT_DISCONNECT": {"The connection is interrupted. It is tried again by itself", "bad"},
	"BAD_CREDENTIALS":      {"The network does not accept your login any more. Sign in again", "bad"},
	"UNKNOWN_ERROR":        {"The connection does not work", "bad"},
	"LOGGED_OUT":           {"Signed out", ""},
}

// showableLogin makes a row of a login.
func showableLogin(network string, l networks.Login) loginRow {
	state, known := loginStates[l.State.Event]
	if !known {
		state.words = "Connects when you use it"
	}
	row := loginRow{Login: l, network: network, Words: state.words, Tone: state.tone, Again: l.State.Event == "BAD_CREDENTIALS"}
	row.Words = httpapi.Sentence(row.Words)
	if state.tone == "bad" && l.State.Message != "" {
		row.Words += " " + httpapi.Sentence(capital(l.State.Message))
	}
	return row
}

// showNetworks is GET /_causeway/bridges/.
func (p *Pages) showNetworks(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	all := p.Networks.Networks(ctx, v.browser.UserID)
	rows := make([]networkRow, len(all))
	for i, n := range all {
		rows[i].Network = n
		if n.Err != nil {
			if _, rows[i].Problem = message(n.Err); rows[i].Problem == "" {
				return n.Err
			}
		}
		for _, l := range n.Logins {
			rows[i].Rows = append(rows[i].Rows, showableLogin(n.ID, l))
		}
	}
	v.show(http.StatusOK, "networks", rows)
	return nil
}

// ownLogin finds a login of the user's that an address or a form names.
func (p *Pages) ownLogin(ctx context.Context, v *visit, login string) (networks.Network, loginRow, error) {
	n, err := p.Networks.Network(ctx, v.browser.UserID, v.Path("network"))
	if err != nil {
		return n, loginRow{}, err
	}
	for _, l := range n.Logins {
		if l.ID == login {
			return n, showableLogin(n.ID, l), nil
		}
	}
	return n, loginRow{}, httpapi.NotFound("You have no such login.")
}

// netLogoutPage asks before a login is ended.
type netLogoutPage struct {
	Network networks.Network
	Login   loginRow
}

// showNetLogout is GET logout.
func (p *Pages) showNetLogout(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	n, login, err := p.ownLogin(ctx, v, v.Query("login_id"))
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "netlogout", netLogoutPage{n, login})
	return nil
}

// netLogout is POST logout.
func (p *Pages) netLogout(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	n, login, err := p.ownLogin(ctx, v, v.PostForm.Get("login_id"))
	if err != nil {
		return err
	}
	if err := p.Networks.Logout(ctx, v.browser.UserID, n.ID, login.ID); err != nil {
		return v.again(err, "netlogout", netLogoutPage{n, login})
	}
	return v.goTo(pathNetworks + "?done=netout")
}

package accountpages

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/networks"
)

// flowsPage shows the ways to sign in to a network.
type flowsPage struct {
	Network networks.Network
	Login   string // the login that is to be signed in to anew, "" for a new one
}

// showFlows is GET signin.
func (p *Pages) showFlows(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	n, err := p.Networks.Network(ctx, v.browser.UserID, v.Path("network"))
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "netsignin", flowsPage{n, v.Query("login_id")})
	return nil
}

// startFlow is POST signin.
func (p *Pages) startFlow(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	n, err := p.Networks.Network(ctx, v.browser.UserID, v.Path("network"))
	if err != nil {
		return err
	}
	flow, login := v.PostForm.Get("flow"), v.PostForm.Get("login_id")
	step, err := p.Networks.Start(ctx, v.browser.UserID, n.ID, flow, login)
	if err != nil {
		return v.again(err, "netsignin", flowsPage{n, login})
	}
	return v.goTo(stepAddress(n.ID, step, flow, login))
}

// stepAddress is that of the page of a login that is under way. How it began is in it, for a login that has to begin anew.
func stepAddress(network string, step networks.Step, flow, login string) string {
	query := url.Values{"flow": {flow}}
	if login != "" {
		query.Set("login_id", login)
	}
	return networkAddress(network, "signin/"+url.PathEscape(step.LoginID)) + "?" + query.Encode()
}

// stepPage shows a step of a login.
type stepPage struct {
	Network networks.Bridge
	Step    networks.Step
	Action  string // the address of the form
	Fields  []stepField
	Still   bool // the network has not told of what the user says to have done
	CanBack bool
}

// Link is the page of the network that a step is about, "" for none that a browser would open.
func (s stepPage) Link() string {
	var link string
	switch {
	case s.Step.Cookies != nil:
		link = s.Step.Cookies.URL
	case s.Step.Display != nil:
		link = s.Step.Display.ImageURL
	}
	if strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://") {
		return link
	}
	return ""
}

// Again is the address at which signing in begins.
func (s stepPage) Again() string { return networkAddress(s.Network.ID, "signin") }

// showStep is GET signin/{process}.
func (p *Pages) showStep(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	bridge, step, err := p.stepOf(ctx, v)
	if err != nil {
		return p.over(v, bridge, err)
	}
	page := stepPageOf(bridge, step, v.here(), nil)
	page.Still = v.Query("still") != ""
	v.showStep(http.StatusOK, page, nil)
	return nil
}

// stepOf is the step that a login of the user's is at.
func (p *Pages) stepOf(ctx context.Context, v *visit) (networks.Bridge, networks.Step, error) {
	bridge, err := p.Networks.Bridge(v.Path("network"))
	if err != nil {
		return bridge, networks.Step{}, err
	}
	step, err := p.Networks.Step(ctx, v.browser.UserID, bridge.ID, v.Path("process"))
	return bridge, step, err
}

// overPage says that a login has not been finished.
type overPage struct {
	Network networks.Bridge
	Again   string
}

// over shows why a login has ended. Other errors are returned.
func (p *Pages) over(v *visit, bridge networks.Bridge, err error) error {
	if bridge.ID == "" || !networks.Ended(err) {
		return err
	}
	return v.again(err, "netover", overPage{bridge, withLogin(networkAddress(bridge.ID, "signin"), v.Query("login_id"))})
}

// takeStep is POST signin/{process}.
func (p *Pages) takeStep(ctx context.Context, v *visit) error {
	if asked, err := p.needsNetwork(ctx, v); asked || err != nil {
		return err
	}
	bridge, step, err := p.stepOf(ctx, v)
	if err != nil {
		return p.over(v, bridge, err)
	}
	flow, login := v.Query("flow"), v.Query("login_id")
	user, here := v.browser.UserID, stepAddress(bridge.ID, step, flow, login)
	switch v.PostForm.Get("do") {
	case "cancel":
		if err := p.Networks.Cancel(ctx, user, bridge.ID, step.LoginID); err != nil {
			return p.over(v, bridge, err)
		}
		return v.goTo(pathNetworks + "?done=netstop")
	case "back":
		if _, err := p.Networks.Back(ctx, user, bridge.ID, step); err != nil {
			return p.over(v, bridge, err)
		}
		return v.goTo(here)
	}
	if step.Type == networks.StepComplete || v.PostForm.Get("txn_id") != step.TxnID {
		return v.goTo(here) // the form of a step that has been taken
	}
	if step.Type == networks.StepDisplay {
		next, err := p.Networks.Wait(ctx, user, bridge.ID, step)
		if err != nil {
			return p.anew(ctx, v, bridge, step, err)
		}
		if next.TxnID == step.TxnID {
			here += "&still=yes"
		}
		return v.goTo(here)
	}
	fields := fieldsOf(step, v.PostForm)
	in := make(map[string]string, len(fields))
	for _, f := range fields {
		if text := v.PostForm.Get(f.ID); text != "" || f.Kind != "cookie" {
			in[f.key] = text
		}
	}
	if _, err = p.Networks.Submit(ctx, user, bridge.ID, step, in); err != nil {
		return p.anew(ctx, v, bridge, step, err)
	}
	return v.goTo(here)
}

// anew shows a step once more whose input was not right. Where that was the end of the login, another begins in the same way.
func (p *Pages) anew(ctx context.Context, v *visit, bridge networks.Bridge, step networks.Step, err error) error {
	if _, text := message(err); text == "" {
		return err
	}
	flow, login := v.Query("flow"), v.Query("login_id")
	if id := networks.WrongField(err); id != "" {
		page := stepPageOf(bridge, step, stepAddress(bridge.ID, step, flow, login), v.PostForm)
		for _, f := range page.Fields {
			if f.key == id {
				err = at(f.ID, err)
			}
		}
		return v.againStep(err, page)
	}
	begun, startErr := p.Networks.Start(ctx, v.browser.UserID, bridge.ID, flow, login)
	if startErr != nil {
		return v.again(err, "netover", overPage{bridge, withLogin(networkAddress(bridge.ID, "signin"), login)})
	}
	var kept url.Values
	if begun.ID == step.ID {
		kept = v.PostForm
	}
	return v.againStep(err, stepPageOf(bridge, begun, stepAddress(bridge.ID, begun, flow, login), kept))
}

// showStep answers with a step. Its pictures are in the page itself.
func (v *visit) showStep(status int, page stepPage, err error) {
	if page.Step.Input != nil && len(page.Step.Input.Attachments) > 0 {
		v.w.Header().Set("Content-Security-Policy", contentPolicy("'self'")+"; img-src data:")
	}
	var text, field string
	if err != nil {
		_, text = message(err)
		field = fieldOf(err)
	}
	v.showWith(status, "netstep", text, field, page)
}

// againStep is again for a step.
func (v *visit) againStep(err error, page stepPage) error {
	status, _ := message(err)
	if status >= http.StatusInternalServerError || status == http.StatusGone {
		status = http.StatusBadRequest
	}
	v.showStep(status, page, err)
	return nil
}

func stepPageOf(bridge networks.Bridge, step networks.Step, action string, kept url.Values) stepPage {
	page := stepPage{Network: bridge, Step: step, Action: action, Fields: fieldsOf(step, kept)}
	page.Step.Instructions = httpapi.Sentence(step.Instructions)
	page.CanBack = step.Input != nil && step.Input.CanCancel || step.Display != nil && step.Display.CanCancel
	return page
}

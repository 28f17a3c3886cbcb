package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

const (
	stable          = "/_matrix/client/v1"
	unstable4143    = "/_matrix/client/unstable/org.matrix.msc4143"
	unstable4195    = "/_matrix/client/unstable/io.element.msc4195"
	transportsPath  = "/rtc/transports"
	memberTokenPath = "/rtc/livekit/get_token"
	slot            = "m.call#ROOM"
)

// What to do.
const (
	adviseCalls   = "Set calls.enabled to true. If it is, the log of the server says at its start why there are no group calls."
	adviseService = "Have the reverse proxy hand on /livekit/jwt/ to the server."
	adviseMedia   = "Have the reverse proxy hand on /livekit/sfu/ to the server, with WebSockets (docs/calls.md has an example)."
)

// transports looks at what clients are told of calls. Without any it is false.
func (r *run) transports(ctx context.Context) bool {
	found := r.transportsAt(ctx, "transports", stable+transportsPath)
	also := r.transportsAt(ctx, "transports_unstable", unstable4143+transportsPath)
	if found == "" {
		found = also
	}
	if found == "" {
		if r.service == "" {
			r.skip("media", "Without a transport, neither tokens nor media can be tested.")
			return false
		}
		found = r.service
	}
	r.service = found
	return true
}

func (r *run) transportsAt(ctx context.Context, name, path string) string {
	a, err := r.ask(ctx, http.MethodGet, r.at(path), r.token, nil)
	var told struct {
		Transports []focus `json:"rtc_transports"`
	}
	if err == nil {
		err = a.decode(&told)
	}
	service := serviceOf(told.Transports)
	switch {
	case statusOf(err) == http.StatusNotFound:
		r.fail(name, adviseCalls, "There are no group calls: %s is not there.", path)
	case err != nil:
		r.fail(name, "Have the reverse proxy hand on all of /_matrix/ to the server.", "%s does not answer as it should: %s.", path, words(err))
	case service == "":
		r.fail(name, adviseCalls, "%s names no transport that clients know (livekit).", path)
	case a.foreign():
		r.fail(name, "Have the proxy leave the headers of the server alone.", "Clients in browsers cannot read %s: it lacks Access-Control-Allow-Origin.", path)
	default:
		if here, err := url.Parse(service); err == nil && here.Host != r.base.Host {
			r.warn(name, adviseURL+" If calls are meant to be at another host, all is well.", "Clients are sent to %s for calls, another host than %s.", service, r.base.Host)
			return service
		}
		r.ok(name, "%s sends clients to %s.", path, service)
	}
	return service
}

// accessToken is by what a client comes into a call.
type accessToken struct {
	JWT string `json:"jwt"`
	URL string `json:"url"`
}

// take reads an answer that should have an access token.
func (r *run) take(a *answer, err error) (accessToken, error) {
	var token accessToken
	if err == nil {
		err = a.decode(&token)
	}
	if err == nil && (token.JWT == "" || token.URL == "") {
		err = errors.New("the answer has no jwt and url")
	}
	if err == nil && a.foreign() {
		err = errors.New("clients in browsers cannot read the answer: it lacks Access-Control-Allow-Origin")
	}
	return token, err
}

// tokens asks for access tokens in all ways that clients do.
func (r *run) tokens(ctx context.Context) {
	openID, err := r.openID(ctx)
	if err != nil {
		r.fail("openid", "Look into the log of the server.", "%s gets no OpenID token: %s.", r.user, words(err))
	} else {
		r.ok("openid", "%s gets an OpenID token.", r.user)
		r.tokenOf(ctx, "token_legacy", r.service+"/sfu/get", "", map[string]any{"room": r.room, "openid_token": openID, "device_id": r.device})
		r.tokenOf(ctx, "token_service", r.service+"/get_token", "", map[string]any{
			"room_id": r.room, "slot_id": slot, "openid_token": openID,
			"member": map[string]string{"id": "doctor", "claimed_user_id": r.user, "claimed_device_id": r.device},
		})
	}
	r.tokenOf(ctx, "token", r.at(stable+memberTokenPath), r.token, r.member("doctor"))
	r.tokenOf(ctx, "token_unstable", r.at(unstable4195+memberTokenPath), r.token, r.member("doctor"))
}

func (r *run) member(name string) map[string]any {
	return map[string]any{"room_id": r.room, "slot_id": slot, "member": map[string]string{"id": name, "claimed_user_id": r.user, "claimed_device_id": r.device}}
}

func (r *run) openID(ctx context.Context) (token map[string]any, err error) {
	a, err := r.ask(ctx, http.MethodPost, r.at(clientAPI+"/user/"+url.PathEscape(r.user)+"/openid/request_token"), r.token, struct{}{})
	if err == nil {
		err = a.decode(&token)
	}
	return token, err
}

// tokenOf asks for an access token. One that comes is kept, those of the client-server API rather than others.
func (r *run) tokenOf(ctx context.Context, name, address, session string, body any) {
	token, err := r.take(r.ask(ctx, http.MethodPost, address, session, body))
	path := strings.TrimPrefix(address, r.base.String())
	switch status := statusOf(err); {
	case status == http.StatusNotFound && session != "":
		r.warn(name, "Nothing, for clients as they are: they ask elsewhere.", "%s is not there.", path)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		r.fail(name, "Look whether the account may be in calls, and which server it is of: others' users cannot come into calls.",
			"%s gets no access token for a call from %s: %v.", r.user, path, err)
	case err != nil:
		r.fail(name, adviseTokens(err), "%s gives no access token for a call: %s.", path, words(err))
	default:
		r.jwt, r.media, r.legacy = token.JWT, strings.TrimRight(token.URL, "/"), name == "token_legacy"
		r.ok(name, "%s gives an access token for a call at %s.", path, token.URL)
	}
}

// adviseTokens is what to do about a service that gives no access token. One that says why has been reached: no proxy is in its way.
func adviseTokens(err error) string {
	switch said, ok := errors.AsType[*refused](err); {
	case !ok || said.code == "" || said.status == http.StatusNotFound:
		return adviseService + " If it goes elsewhere, look whether that runs."
	case said.status == http.StatusServiceUnavailable:
		return "Look whether the SFU runs whose address is in calls.sfu.livekit or calls.sfu.nodes, whether this server reaches it there, and whether the secret is the same; " +
			"the log of the server says what is wrong."
	case said.status == http.StatusTooManyRequests:
		return "Wait for a minute, and try again."
	}
	return "Look into the log of the server."
}

// tokenFor is an access token for one of several members that the test has in the call; that which there is where no others are made.
func (r *run) tokenFor(ctx context.Context, name string) string {
	token, err := r.take(r.ask(ctx, http.MethodPost, r.at(stable+memberTokenPath), r.token, r.member(name)))
	if err != nil {
		return r.jwt
	}
	return token.JWT
}

// web is an address of signalling as requests have it.
func web(media, path string) string {
	if rest, ok := strings.CutPrefix(media, "ws"); ok {
		media = "http" + rest
	}
	return media + path
}

// validate asks whether the SFU would let the client in.
func (r *run) validate(ctx context.Context) bool {
	a, err := r.ask(ctx, http.MethodGet, web(r.media, "/rtc/v1/validate?access_token="+url.QueryEscape(r.jwt)), "", nil)
	if err == nil && a.status == http.StatusNotFound { // of an older one
		a, err = r.ask(ctx, http.MethodGet, web(r.media, "/rtc/validate?access_token="+url.QueryEscape(r.jwt)), "", nil)
	}
	if err == nil && a.status != http.StatusOK {
		err = a.refusal()
	}
	switch status := statusOf(err); {
	case status == http.StatusUnauthorized:
		r.fail("validate", adviseToken(err), "The SFU does not take the access token: %v.", err)
		return false
	case err != nil && status != 0:
		r.fail("validate", adviseMedia, "There is no SFU at %s: %v.", r.media, err)
		return false
	case err != nil:
		r.fail("validate", adviseMedia+" If it is another host, look whether that runs, and whether its port is open.", "The SFU at %s cannot be reached: %s.", r.media, words(err))
		return false
	}
	r.ok("validate", "The SFU at %s takes the access token.", r.media)
	return true
}

// adviseToken is what to do about an access token that an SFU does not take.
func adviseToken(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "expired"), strings.Contains(text, "not valid yet"), strings.Contains(text, "nbf"):
		return "The clocks of who makes the tokens and of the SFU are apart: have both set them by NTP (timedatectl set-ntp true)."
	case strings.Contains(text, "key"), strings.Contains(text, "signature"):
		return "The key and the secret of calls.sfu.livekit are not those of the LiveKit server: compare them with keys in its configuration."
	}
	return "Look into the logs of the server and of the SFU."
}

// withoutLogin tests what can be without an account.
func (r *run) withoutLogin(ctx context.Context) {
	if r.service == "" {
		return
	}
	a, err := r.ask(ctx, http.MethodGet, r.service+"/healthz", "", nil)
	if err == nil && a.status != http.StatusOK {
		err = a.refusal()
	}
	if err != nil {
		r.fail("service", adviseService, "What makes the access tokens for calls cannot be reached at %s: %s.", r.service, words(err))
	} else {
		r.ok("service", "What makes the access tokens for calls is at %s.", r.service)
	}
	root, ours := strings.CutSuffix(r.service, "/livekit/jwt")
	if !ours {
		return // where the SFU is elsewhere is said with an access token
	}
	media := root + "/livekit/sfu"
	a, err = r.ask(ctx, http.MethodGet, media+"/rtc/v1/validate", "", nil)
	switch {
	case err != nil:
		r.fail("validate", adviseMedia, "The SFU cannot be reached at %s: %s.", media, words(err))
	case a.status != http.StatusUnauthorized:
		r.fail("validate", adviseMedia, "There is no SFU at %s: %v.", media, fmt.Errorf("it answers %d to who has no access token", a.status))
	default:
		r.ok("validate", "The SFU is at %s, and lets nobody in without an access token.", media)
	}
	for _, one := range []struct{ name, words string }{{"udp", "Media by UDP"}, {"tcp", "Media by TCP"}, {"turn", "TURN"}} {
		r.skip(one.name, "%s is not tested without an account.", one.words)
	}
}

package clientapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/rendezvous"
)

// Where sessions are, by the proposals that they come from.
const (
	msc4108Rendezvous = "/org.matrix.msc4108/rendezvous"
	msc4388Rendezvous = "/io.element.msc4388/rendezvous"
)

// rendezvousRetry is how long who may have no more sessions, or writes, is told to wait.
const rendezvousRetry = 30 * time.Second

// maxRendezvousBody bounds the JSON that a payload comes in, in bytes: each of its own may be escaped.
const maxRendezvousBody = 6*rendezvous.MaxPayload + 1024

// rendezvous has the meeting points of devices that sign in by QR code, in the form of MSC4108 as of 2024, and in that of MSC4388. Both
// devices ask once a second for what is new, which [httpapi.ClassDevice] is wide enough for: matrix-js-sdk takes being told to wait for an
// end of its session.
func (a *API) rendezvous() []row {
	const (
		text = msc4108Rendezvous
		json = msc4388Rendezvous
	)
	return []row{
		{"POST", text, public, httpapi.Dynamic(a.createTextRendezvous).MaxBody(rendezvous.MaxPayload).Limited(httpapi.ClassRendezvous)},
		{"GET", text + "/{rendezvousId}", public, httpapi.Raw(a.readTextRendezvous).Limited(httpapi.ClassDevice)},
		{"PUT", text + "/{rendezvousId}", public, httpapi.Raw(a.writeTextRendezvous).MaxBody(rendezvous.MaxPayload).Limited(httpapi.ClassDevice)},
		{"DELETE", text + "/{rendezvousId}", public, httpapi.Raw(a.deleteTextRendezvous).Limited(httpapi.ClassDevice)},

		{"GET", json, optional, httpapi.JSON(a.discoverRendezvous).Limited(httpapi.ClassDevice)},
		{"POST", json, optional, httpapi.JSON(a.createRendezvous).MaxBody(maxRendezvousBody).Limited(httpapi.ClassRendezvous)},
		{"GET", json + "/{rendezvousId}", public, httpapi.Dynamic(a.readRendezvous).Limited(httpapi.ClassDevice)},
		{"PUT", json + "/{rendezvousId}", public, httpapi.JSON(a.writeRendezvous).MaxBody(maxRendezvousBody).Limited(httpapi.ClassDevice)},
		{"PUT", json + "/{rendezvousId}/{txnId}", public, httpapi.JSON(a.writeRendezvous).MaxBody(maxRendezvousBody).Limited(httpapi.ClassDevice)},
		{"DELETE", json + "/{rendezvousId}", public, httpapi.JSON(a.deleteRendezvous).Limited(httpapi.ClassDevice)},
	}
}

// RendezvousPolicy says who may begin a session.
type RendezvousPolicy int

const (
	// RendezvousOff is for a server without sessions.
	RendezvousOff RendezvousPolicy = iota
	// RendezvousUsers lets those begin one who are signed in. There are no sessions of MSC4108 then: its clients never say who they are.
	RendezvousUsers
	// RendezvousPublic lets everybody, so that a device can show a QR code before it is signed in.
	RendezvousPublic
)

// textRendezvous returns the error for a server without sessions of MSC4108.
func (a *API) textRendezvous() error {
	if a.Rendezvous != RendezvousPublic || a.PublicURL == "" {
		return httpapi.Unrecognized()
	}
	return nil
}

// jsonRendezvous returns the error for a server without sessions of MSC4388.
func (a *API) jsonRendezvous() error {
	if a.Rendezvous == RendezvousOff {
		return httpapi.Unrecognized()
	}
	return nil
}

// rendezvousFeatures are the flags of what is served.
func (a *API) rendezvousFeatures() map[string]bool {
	return map[string]bool{"org.matrix.msc4108": a.textRendezvous() == nil, "io.element.msc4388": a.jsonRendezvous() == nil}
}

// rendezvousOwner is who has a session, for the bound on how many.
func rendezvousOwner(r *httpapi.Request) string {
	if r.Requester != nil {
		return string(r.Requester.UserID)
	}
	return r.Network()
}

// rendezvousError is what a client sees of an error of package rendezvous.
func rendezvousError(err error) error {
	switch {
	case errors.Is(err, rendezvous.ErrNotFound):
		return httpapi.NotFound("There is no such session, or it has expired")
	case errors.Is(err, rendezvous.ErrTooLarge):
		return httpapi.TooLarge("The payload is larger than %d bytes", rendezvous.MaxPayload)
	case errors.Is(err, rendezvous.ErrNotText):
		return httpapi.InvalidParam("The payload is not UTF-8")
	case errors.Is(err, rendezvous.ErrTooMany):
		return httpapi.LimitExceeded(rendezvousRetry)
	}
	return err
}

// notShown refuses to show a payload to a browser that would show it to somebody: anyone can put a page into a session, which would look as
// if it came from this server (MSC4388, Unsafe content). Scripts that fetch it send "empty", and programs none of these headers.
func notShown(r *httpapi.Request) error {
	to := r.Header.Get("Sec-Fetch-Dest")
	if to != "" && to != "empty" || r.Header.Get("Sec-Fetch-Mode") == "navigate" || r.Header.Get("Sec-Fetch-User") == "?1" {
		return httpapi.Forbidden("Sessions are not for people to look at")
	}
	return nil
}

// rendezvousHeaders sees to it that what a session holds is neither kept nor changed on its way, nor taken for a page.
func rendezvousHeaders(h http.Header) {
	httpapi.SetPageHeaders(h, "sandbox; default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'", "no-referrer")
	// A proxy that compresses an answer gives it another ETag.
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("Pragma", "no-cache")
}

type discoverRendezvousResponse struct {
	CreateAvailable bool `json:"create_available"`
}

// discoverRendezvous is GET /rendezvous of MSC4388.
func (a *API) discoverRendezvous(_ context.Context, r *httpapi.Request, _ httpapi.Empty) (discoverRendezvousResponse, error) {
	if err := a.jsonRendezvous(); err != nil {
		return discoverRendezvousResponse{}, err
	}
	return discoverRendezvousResponse{CreateAvailable: a.mayBeginRendezvous(r)}, nil
}

func (a *API) mayBeginRendezvous(r *httpapi.Request) bool {
	return a.Rendezvous == RendezvousPublic || r.Requester != nil
}

type rendezvousRequest struct {
	SequenceToken *string `json:"sequence_token"`
	Data          *string `json:"data"`
}

type rendezvousResponse struct {
	ID            string  `json:"id,omitempty"`
	Data          *string `json:"data,omitempty"`
	SequenceToken string  `json:"sequence_token"`
	ExpiresInMS   *int64  `json:"expires_in_ms,omitempty"`
}

// rendezvousAnswer is an answer of MSC4388, with the headers that nobody is to miss.
func rendezvousAnswer(out rendezvousResponse) httpapi.Response {
	header := make(http.Header)
	rendezvousHeaders(header)
	return httpapi.Response{Header: header, Body: out}
}

func expiresIn(p rendezvous.Payload) *int64 {
	left := max(0, p.ExpiresTS-time.Now().UnixMilli())
	return &left
}

// createRendezvous is POST /rendezvous of MSC4388.
func (a *API) createRendezvous(ctx context.Context, r *httpapi.Request, in rendezvousRequest) (httpapi.Response, error) {
	if err := a.jsonRendezvous(); err != nil {
		return httpapi.Response{}, err
	}
	if !a.mayBeginRendezvous(r) {
		return httpapi.Response{}, httpapi.Forbidden("Only those who are signed in may begin a session")
	}
	if in.Data == nil {
		return httpapi.Response{}, httpapi.MissingParam("data")
	}
	p, err := a.Meetings.Create(ctx, rendezvousOwner(r), *in.Data)
	if err != nil {
		return httpapi.Response{}, rendezvousError(err)
	}
	return rendezvousAnswer(rendezvousResponse{ID: p.ID, SequenceToken: p.Token, ExpiresInMS: expiresIn(p)}), nil
}

// readRendezvous is GET /rendezvous/{rendezvousId} of MSC4388.
func (a *API) readRendezvous(ctx context.Context, r *httpapi.Request) (any, error) {
	if err := a.jsonRendezvous(); err != nil {
		return nil, err
	}
	if err := notShown(r); err != nil {
		return nil, err
	}
	p, err := a.Meetings.Read(ctx, r.Path("rendezvousId"))
	if err != nil {
		return nil, rendezvousError(err)
	}
	return rendezvousAnswer(rendezvousResponse{Data: &p.Data, SequenceToken: p.Token, ExpiresInMS: expiresIn(p)}), nil
}

// writeRendezvous is PUT /rendezvous/{rendezvousId}/{txnId} of MSC4388. Before June 2026 it had no transaction ids: the same write is the
// same attempt then.
func (a *API) writeRendezvous(ctx context.Context, r *httpapi.Request, in rendezvousRequest) (httpapi.Response, error) {
	if err := a.jsonRendezvous(); err != nil {
		return httpapi.Response{}, err
	}
	if in.SequenceToken == nil {
		return httpapi.Response{}, httpapi.MissingParam("sequence_token")
	}
	if in.Data == nil {
		return httpapi.Response{}, httpapi.MissingParam("data")
	}
	w := rendezvous.Write{Token: *in.SequenceToken, Data: *in.Data, TxnID: r.Path("txnId")}
	if w.TxnID == "" {
		w.TxnID = "\x00" + w.Token + "\x00" + w.Data // no path holds a NUL
	}
	p, err := a.Meetings.Write(ctx, r.Path("rendezvousId"), w)
	if errors.Is(err, rendezvous.ErrConcurrentWrite) {
		return httpapi.Response{}, httpapi.Error(http.StatusConflict, "IO_ELEMENT_MSC4388_CONCURRENT_WRITE", "sequence_token is not that of what is there now")
	}
	if err != nil {
		return httpapi.Response{}, rendezvousError(err)
	}
	return rendezvousAnswer(rendezvousResponse{SequenceToken: p.Token}), nil
}

// deleteRendezvous is DELETE /rendezvous/{rendezvousId} of MSC4388.
func (a *API) deleteRendezvous(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	if err := a.jsonRendezvous(); err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, rendezvousError(a.Meetings.Delete(ctx, r.Path("rendezvousId")))
}

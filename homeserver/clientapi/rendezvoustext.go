package clientapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/rendezvous"

	"maunium.net/go/mautrix"
)

// textRendezvousHeaders are the common headers of MSC4108's answers.
func textRendezvousHeaders(h http.Header, p rendezvous.Payload) {
	rendezvousHeaders(h)
	h.Set("ETag", etag(p.Token))
	h.Set("Expires", time.UnixMilli(p.ExpiresTS).UTC().Format(http.TimeFormat))
	h.Set("Last-Modified", time.UnixMilli(p.ModifiedTS).UTC().Format(http.TimeFormat))
	h.Set("Access-Control-Expose-Headers", "ETag")
}

// textPlain is the type of all payloads. matrix-js-sdk takes no other for one, and "text/plain; charset=utf-8" is another.
const textPlain = "text/plain"

// checkTextPlain demands that of a request. A length is not demanded: a proxy may send the body on in chunks.
func checkTextPlain(r *httpapi.Request) error {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return httpapi.MissingParam("the header Content-Type")
	}
	if kind, _, err := mime.ParseMediaType(header); err != nil || kind != textPlain {
		return httpapi.InvalidParam("Content-Type must be text/plain")
	}
	return nil
}

// createTextRendezvous is POST /rendezvous of MSC4108.
func (a *API) createTextRendezvous(ctx context.Context, r *httpapi.Request) (any, error) {
	if err := a.textRendezvous(); err != nil {
		return nil, err
	}
	if err := checkTextPlain(r); err != nil {
		return nil, err
	}
	data, err := r.ReadBody()
	if err != nil {
		return nil, err
	}
	p, err := a.Meetings.Create(ctx, rendezvousOwner(r), string(data))
	if err != nil {
		return nil, rendezvousError(err)
	}
	header := make(http.Header)
	textRendezvousHeaders(header, p)
	return httpapi.Response{Status: http.StatusCreated, Header: header, Body: map[string]string{
		"url": strings.TrimRight(a.PublicURL, "/") + "/_matrix/client/unstable" + msc4108Rendezvous + "/" + p.ID,
	}}, nil
}

// readTextRendezvous is GET of a session of MSC4108.
func (a *API) readTextRendezvous(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	if err := a.textRendezvous(); err != nil {
		return err
	}
	if err := notShown(r); err != nil {
		return err
	}
	p, err := a.Meetings.Read(ctx, r.Path("rendezvousId"))
	if err != nil {
		return rendezvousError(err)
	}
	textRendezvousHeaders(w.Header(), p)
	if seen(r.Header.Values("If-None-Match"), p.Token) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", textPlain)
	_, err = io.WriteString(w, p.Data)
	return err
}

// writeTextRendezvous is PUT of a session of MSC4108.
func (a *API) writeTextRendezvous(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	if err := a.textRendezvous(); err != nil {
		return err
	}
	if err := checkTextPlain(r); err != nil {
		return err
	}
	token, err := ifMatch(r.Header.Values("If-Match"))
	if err != nil {
		return err
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	p, err := a.Meetings.Write(ctx, r.Path("rendezvousId"), rendezvous.Write{Token: token, Data: string(data)})
	if errors.Is(err, rendezvous.ErrConcurrentWrite) {
		textRendezvousHeaders(w.Header(), p)
		// MSC4108, Unstable prefix: its new errcode is in a field of its own.
		return mautrix.RespError{StatusCode: http.StatusPreconditionFailed, ErrCode: "M_UNKNOWN", Err: "The payload is another one now",
			ExtraData: map[string]any{"org.matrix.msc4108.errcode": "M_CONCURRENT_WRITE"}}
	}
	if err != nil {
		return rendezvousError(err)
	}
	textRendezvousHeaders(w.Header(), p)
	w.Header().Set("Content-Type", textPlain) // proxies take the ETag from answers without a type
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// deleteTextRendezvous is DELETE of a session of MSC4108.
func (a *API) deleteTextRendezvous(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
	if err := a.textRendezvous(); err != nil {
		return err
	}
	if err := a.Meetings.Delete(ctx, r.Path("rendezvousId")); err != nil {
		return rendezvousError(err)
	}
	rendezvousHeaders(w.Header())
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func etag(token string) string { return `"` + token + `"` }

// ifMatch returns the one token of an If-Match header: anything but a strong ETag is malformed (MSC4108, The send mechanism).
func ifMatch(headers []string) (token string, err error) {
	if len(headers) == 0 {
		return "", httpapi.MissingParam("the header If-Match")
	}
	token, quoted := strings.CutPrefix(headers[0], `"`)
	token, ended := strings.CutSuffix(token, `"`)
	if len(headers) > 1 || !quoted || !ended || strings.ContainsAny(token, `",`) {
		return "", httpapi.InvalidParam("If-Match must be one strong ETag")
	}
	return token, nil
}

// seen tells whether an If-None-Match header names a token (RFC 9110, section 13.1.2, weak comparison).
func seen(headers []string, token string) bool {
	for _, header := range headers {
		for one := range strings.SplitSeq(header, ",") {
			one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
			if one == "*" || one == etag(token) {
				return true
			}
		}
	}
	return false
}

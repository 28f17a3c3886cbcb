package accountpages

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/oauth"
	"causeway/homeserver/sso"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
)

const (
	// anonymousPrefix begins the cookies of browsers in which nobody is signed in. Nothing is stored of them.
	anonymousPrefix = "cwa_"
	anonymousBytes  = 32
	maxCookieBytes  = 256
	cookieLifetime  = 24 * time.Hour // as long as the session
)

// handler shows a page, or does what a form says.
type handler func(ctx context.Context, v *visit) error

// visit is a request of somebody in front of a browser.
type visit struct {
	*httpapi.Request
	w        http.ResponseWriter
	pages    *Pages
	cookie   string
	browser  account.Browser // zero for nobody
	signedIn bool
}

// page makes an endpoint of a handler. A form counts only with the token of the browser that it was shown to.
func (p *Pages) page(h handler, class httpapi.Class) httpapi.Endpoint {
	return httpapi.Raw(func(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
		headers(w.Header())
		v := &visit{Request: r, w: w, pages: p}
		err := p.enter(ctx, v)
		if err == nil && r.Method == http.MethodPost {
			err = p.checkForm(v)
		}
		if err == nil {
			err = r.LimitClient(class)
		}
		if err == nil {
			err = h(ctx, v)
		}
		if err != nil {
			v.showError(ctx, err)
		}
		return nil
	})
}

// headers says what a browser may do with a page: show it, alone, and send its forms back here.
func headers(h http.Header) {
	h.Del("Access-Control-Allow-Origin") // pages are for people, not for other sites' scripts
	h.Del("Access-Control-Allow-Methods")
	h.Del("Access-Control-Allow-Headers")
	httpapi.SetPageHeaders(h, contentPolicy("'self'"), "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
}

// contentPolicy is the Content-Security-Policy of a page whose forms may lead to some places.
func contentPolicy(formAction string) string {
	return "default-src 'none'; style-src 'self'; form-action " + formAction + "; frame-ancestors 'none'; base-uri 'none'"
}

// enter finds out who is in front of the browser.
func (p *Pages) enter(ctx context.Context, v *visit) (err error) {
	if c, err := v.Cookie(p.cookie); err == nil && len(c.Value) <= maxCookieBytes {
		v.cookie = c.Value
	}
	if v.cookie != "" && !strings.HasPrefix(v.cookie, anonymousPrefix) {
		v.browser, v.signedIn, err = p.Accounts.Browser(ctx, v.cookie)
		if err != nil {
			return err
		}
		if !v.signedIn { // the session has ended
			v.cookie = ""
			return nil
		}
		return p.Accounts.SawBrowser(ctx, v.browser, v.ClientIP(), v.Header.Get("User-Agent"))
	}
	return nil
}

// errOtherForm is the error of a form that was not shown to this browser, or to whoever was signed in before.
var errOtherForm = mautrix.RespError{StatusCode: http.StatusForbidden, ErrCode: "M_FORBIDDEN",
	Err: "This form is out of date, or comes from another site. Go back, load the page again, and try once more. Your browser must accept cookies from this site."}

// checkForm refuses forms that other sites send.
func (p *Pages) checkForm(v *visit) error {
	if err := p.cross.Check(v.Request.Request); err != nil {
		return errOtherForm
	}
	if err := v.ParseForm(); err != nil {
		return httpapi.Error(http.StatusBadRequest, "M_UNKNOWN", "The form is too large, or not of the right form.")
	}
	if v.cookie == "" || !hmac.Equal([]byte(v.PostForm.Get("csrf")), []byte(formToken(v.cookie))) {
		return errOtherForm
	}
	return nil
}

// formToken is what shows that a form was made for the browser with a cookie. The cookie cannot be told from it.
func formToken(cookie string) string { return formMAC(cookie, "form") }

// seal returns what shows that a page with some text was shown to the browser. A browser that has no cookie has been shown none.
func (v *visit) seal(text string) string { return formMAC(v.cookie, "seal:"+text) }

func formMAC(cookie, text string) string {
	mac := hmac.New(sha256.New, []byte(cookie))
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// token returns the token for the forms of a page. A browser that has no cookie yet gets one.
func (v *visit) token() string {
	if v.cookie == "" {
		secret := make([]byte, anonymousBytes)
		_, _ = rand.Read(secret) // never fails
		v.setCookie(anonymousPrefix+base64.RawURLEncoding.EncodeToString(secret), 0)
	}
	return formToken(v.cookie)
}

// setCookie gives the browser another cookie, for a while or, with 0, until it is closed.
func (v *visit) setCookie(value string, lifetime time.Duration) {
	v.writeCookie(value, int(lifetime.Seconds()))
}

// dropCookie has the browser forget its cookie.
func (v *visit) dropCookie() { v.writeCookie("", -1) }

func (v *visit) writeCookie(value string, maxAge int) {
	v.cookie = value
	v.writeNamed(v.pages.cookie, value, maxAge)
}

func (v *visit) writeNamed(name, value string, maxAge int) {
	path := "/"
	if !v.pages.secure {
		path = "/_causeway/"
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: name, Value: value, Path: path, MaxAge: maxAge,
		HttpOnly: true, Secure: v.pages.secure, SameSite: http.SameSiteLaxMode,
	})
}

// enterAs signs the browser in, under a cookie that nobody has seen before.
func (v *visit) enterAs(cookie string) { v.setCookie(cookie, cookieLifetime) }

// goTo has the browser ask for another page. What was posted is not posted again.
func (v *visit) goTo(path string) error {
	http.Redirect(v.w, v.Request.Request, path, http.StatusSeeOther)
	return nil
}

// here is the address of the page that is asked for.
func (v *visit) here() string {
	return (&url.URL{Path: v.URL.Path, RawQuery: v.URL.RawQuery}).String()
}

// shownAtOther are the pages that forms belong to which are sent to another address, or whose address has parameters: they have fields of the
// same names.
var shownAtOther = map[string]struct{ path, param string }{
	pathEmailAdd:     {pathEmails, "sid"},
	pathEmail:        {pathEmail, "address"},
	pathDevice:       {pathDevice, "device_id"},
	pathDeviceName:   {pathDevice, "device_id"},
	pathReset:        {pathReset, "device_id"},
	sso.PathContinue: {sso.PathContinue, "id"},
}

// shownAt is the address at which the page is shown that is asked for, or whose form was sent.
func (v *visit) shownAt() string {
	other, ok := shownAtOther[v.URL.Path]
	if v.Method != http.MethodPost || !ok {
		return v.here()
	}
	if value := v.PostForm.Get(other.param); value != "" {
		return other.path + "?" + url.Values{other.param: {value}}.Encode()
	}
	return other.path
}

// message returns what somebody is told of an error, and the status that goes with it.
func message(err error) (status int, text string) {
	if shown, ok := errors.AsType[mautrix.RespError](err); ok {
		status = shown.StatusCode
		if status == 0 {
			status = http.StatusBadRequest
		}
		if status == http.StatusTooManyRequests {
			return status, "There were too many attempts. Wait a while, then try again."
		}
		if shown.ErrCode == "M_USER_IN_USE" {
			return status, "This name is taken."
		}
		return status, httpapi.Sentence(shown.Err)
	}
	if page, ok := errors.AsType[*oauth.PageError](err); ok {
		return http.StatusBadRequest, httpapi.Sentence(page.Message)
	}
	return ssoMessage(err)
}

// showError answers with an error page.
func (v *visit) showError(ctx context.Context, err error) {
	status, text := message(err)
	if failed, ok := errors.AsType[*sso.PageError](err); ok {
		zerolog.Ctx(ctx).Info().Err(err).Msg("Somebody could not sign in by a provider")
		if failed.For != nil {
			v.show(status, "ssofailed", v.wayBack(text, *failed.For))
			return
		}
	}
	if text == "" {
		zerolog.Ctx(ctx).Err(err).Msg("A page ended in an error")
		text = "Something went wrong on the server. Its operator finds more in the log, under " + v.ID() + "."
	}
	v.show(status, "error", errorPage{Message: text})
}

type errorPage struct{ Message string }

// registrationError makes of the error of a registration what the client hears of it.
func registrationError(err error) error {
	if refused, ok := errors.AsType[*oauth.RegistrationError](err); ok {
		return httpapi.ErrorBody(http.StatusBadRequest, refused)
	}
	return err
}

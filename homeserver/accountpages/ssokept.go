package accountpages

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"causeway/homeserver/sso"
)

// keep has the browser keep something until it has come back, under a name of its own, so that several can be under way.
func (v *visit) keep(id, sealed string) {
	maxAge := int(sso.Lifetime.Seconds())
	if sealed == "" {
		maxAge = -1
	}
	path := "/"
	if !v.pages.secure {
		path = sso.PathChoose
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: v.kept(id), Value: sealed, Path: path, MaxAge: maxAge, HttpOnly: true, Secure: v.pages.secure, SameSite: http.SameSiteLaxMode,
	})
}

// Bounds of what a browser keeps of sign-ins that are under way: it sends all of it with every request, and servers in front of this one take
// no more than some 8 KiB of cookies.
const (
	maxUnderWay      = 3
	maxUnderWayBytes = 6 << 10
)

// forgetOlder has the browser forget the sign-ins that it has begun first, where there would be too much with another of some bytes.
func (v *visit) forgetOlder(another int) {
	type begun struct {
		id      string
		size    int
		expires int64
	}
	var all []begun
	for _, c := range v.Cookies() {
		if id, ok := strings.CutPrefix(c.Name, v.kept("")); ok && sso.IsID(id) {
			all = append(all, begun{id, len(c.Value), v.pages.SSO.Expires(c.Value)})
		}
	}
	slices.Reverse(all) // browsers send what they have had for longest in front
	slices.SortStableFunc(all, func(a, b begun) int { return cmp.Compare(b.expires, a.expires) })
	size := another
	for i, b := range all {
		if size += b.size; i+1 >= maxUnderWay || size > maxUnderWayBytes || b.expires == 0 {
			v.keep(b.id, "")
		}
	}
}

func (v *visit) kept(id string) string { return v.pages.cookie + "_sso_" + id }

// sealed returns what the browser has kept, "" for nothing.
func (v *visit) sealed(id string) string {
	if !sso.IsID(id) {
		return ""
	}
	c, err := v.Cookie(v.kept(id))
	if err != nil {
		return ""
	}
	return c.Value
}

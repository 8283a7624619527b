package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/shared/config"
)

// CORS is the table [cors] of a service: the origins of web pages that may call it from a browser
// beside its own. Without one no answer has a CORS header.
//
// A page sends its token in a header, so no answer allows credentials: a cookie or a certificate of
// the browser lets nobody in here.
type CORS struct {
	Origins []string `toml:"origins"` // exact origins such as https://console.example.com
}

// Check notes each origin that is none. There is no pattern, and no wildcard.
func (c CORS) Check(problems *config.Problems) {
	for _, o := range c.Origins {
		if !IsOrigin(o) {
			problems.Add("cors.origins: %q is no origin such as https://console.example.com; each is listed, there is no wildcard", o)
		}
	}
}

// IsOrigin says whether a text is an origin as browsers send it: scheme, host and a port that is
// not the scheme's own.
func IsOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && !strings.Contains(u.Host, "*") &&
		text == u.Scheme+"://"+strings.ToLower(u.Host)
}

// What a page may send and read beyond what browsers allow every page.
const (
	corsSends = "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id"
	corsReads = "ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-RateLimit-Limit, " +
		"X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id, X-Total-Count, X-Total-Count-Exact"
	corsAge = "600" // seconds that a browser need not ask again
)

// admit lets a page of a listed origin read the answer. Any answer says that it depends on the
// origin, so that no cache hands it to another page.
func (c CORS) admit(h http.Header, r *http.Request) {
	h["Vary"] = []string{"Accept, Origin"}
	if origin := r.Header.Get("Origin"); slices.Contains(c.Origins, origin) {
		h["Access-Control-Allow-Origin"] = []string{origin}
		h["Access-Control-Expose-Headers"] = []string{corsReads}
	}
}

// preflight answers the question of a browser whether a page may send what is not harmless, and
// says whether this was one. The router has put the methods of the path into Allow; a path that
// does not exist has none.
func (c CORS) preflight(h http.Header, r *http.Request) bool {
	allow := h.Get("Allow")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" || allow == "" ||
		!slices.Contains(c.Origins, r.Header.Get("Origin")) {
		return false
	}
	h["Access-Control-Allow-Methods"] = []string{allow}
	h["Access-Control-Allow-Headers"] = []string{corsSends}
	h["Access-Control-Max-Age"] = []string{corsAge}
	return true
}

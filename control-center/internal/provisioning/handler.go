package provisioning

import (
	"net/http"
	"path"
	"strings"
)

// Handler returns next below root, "/" or a path such as /univention/provisioning. Doubled slashes
// and one at the end are taken as single ones and none: a redirect would lose the body or the
// credential of some clients (contract 1.1).
func Handler(root string, next http.Handler) http.Handler {
	root = strings.TrimSuffix(path.Clean("/"+root), "/")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clean := path.Clean("/" + r.URL.Path)
		below, ok := strings.CutPrefix(clean, root)
		if !ok || below != "" && below[0] != '/' {
			below = clean // what is not below root is no path of the API, and is answered 404 like any other
			if root != "" {
				below = "/-" + clean
			}
		}
		if below == "/redoc" { // the page that the original has beside its docs
			below = "/docs"
		}
		copied := r.Clone(r.Context())
		copied.URL.Path, copied.URL.RawPath = below, ""
		if below == "" {
			copied.URL.Path = "/"
		}
		next.ServeHTTP(w, copied)
	})
}

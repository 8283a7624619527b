package web

import (
	"net/http"
	"strings"
)

const (
	typeJSON   = "application/json"
	typeVendor = "application/vnd.provisioning.v1+json"
	vendorName = "application/vnd.provisioning."
)

// secure sets what no answer goes without (reliability-bar S06). A face or a route may loosen them
// afterwards.
func secure(h http.Header) {
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Content-Security-Policy"] = []string{"default-src 'none'; frame-ancestors 'none'"}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["X-Frame-Options"] = []string{"DENY"}
	h["Cache-Control"] = []string{"no-store"}
	h["Vary"] = []string{"Accept"}
}

const (
	versionPlain   version = iota // nothing said, or said in general
	versionVendor                 // our vendor type was named
	versionForeign                // only versions that do not exist
)

// isJSON says whether a Content-Type names a body that is served: JSON or the vendor type, in
// UTF-8.
func isJSON(contentType string) bool {
	name, params, _ := strings.Cut(contentType, ";")
	name = strings.TrimSpace(name)
	if !strings.EqualFold(name, typeJSON) && !strings.EqualFold(name, typeVendor) {
		return false
	}
	for p := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(key, "charset") && !strings.EqualFold(strings.Trim(value, `"`), "utf-8") {
			return false
		}
	}
	return true
}

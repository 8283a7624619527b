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

// version is what the Accept header says about the version of the API.
type version uint8

const (
	versionPlain   version = iota // nothing said, or said in general
	versionVendor                 // our vendor type was named
	versionForeign                // only versions that do not exist
)

// acceptOf reads the Accept header (I24): only a header that names foreign versions, and nothing
// that v1 could answer, is refused.
func acceptOf(lines []string) version {
	foreign, plain := false, false
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(item, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			if refused(params) {
				continue
			}
			switch {
			case name == typeVendor:
				return versionVendor
			case name == typeJSON || name == "*/*" || name == "application/*":
				plain = true
			case strings.HasPrefix(name, vendorName):
				foreign = true
			}
		}
	}
	if foreign && !plain {
		return versionForeign
	}
	return versionPlain
}

// refused says whether the parameters of a media range are q=0: "not this one".
func refused(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		if q, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(p), " ", ""), "q="); ok {
			return q == "0" || (strings.HasPrefix(q, "0.") && strings.Trim(q[2:], "0") == "")
		}
	}
	return false
}

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

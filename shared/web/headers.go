package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/provisioning-platform/platform/shared/id"
)

const (
	typeJSON   = "application/json"
	typeVendor = "application/vnd.provisioning.v1+json"
	vendorName = "application/vnd.provisioning."
)

// secure sets what no answer goes without (reliability-bar S06). A face or a route may loosen them
// afterwards.
func (s *Server) secure(h http.Header, r *http.Request) {
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Content-Security-Policy"] = []string{"default-src 'none'; frame-ancestors 'none'"}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["X-Frame-Options"] = []string{"DENY"}
	h["Cache-Control"] = []string{"no-store"}
	h["Vary"] = []string{"Accept"}
	if s.cfg.HSTS && r.TLS != nil {
		strictTransport(h, r)
	}
	if len(s.cfg.CORS.Origins) > 0 {
		s.cfg.CORS.admit(h, r)
	}
}

// hstsAge is how long a browser remembers that a name wants TLS: a year.
const hstsAge = "max-age=31536000"

// strictTransport tells a browser to come over TLS only, for names that the certificate is for and
// that are not this machine's own (decision 60): what listens at localhost tomorrow may be another
// program, and an address is no name that a browser remembers.
func strictTransport(h http.Header, r *http.Request) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return
	}
	h["Strict-Transport-Security"] = []string{hstsAge}
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

// requestID returns the given id when it is one that we repeat, else a new one.
func requestID(given string) string {
	if goodRequestID(given) {
		return given
	}
	return id.New()
}

// goodRequestID says whether a client's request id is one we repeat: short, and of harmless
// characters.
func goodRequestID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

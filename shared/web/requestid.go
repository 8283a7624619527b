package web

import "github.com/provisioning-platform/platform/shared/id"

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

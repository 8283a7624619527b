package web

import (
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
)

// acceptVersion negotiates the version of the platform's own API.
func acceptVersion(lines []string) (string, error) {
	switch acceptOf(lines) {
	case versionVendor:
		return typeVendor, nil
	case versionForeign:
		return typeJSON, fault.New(fault.NotAcceptable, "http.version", "only version v1 exists; send Accept: %s", typeVendor)
	}
	return typeJSON, nil
}

// version is what the Accept header says about the version of the API.
type version uint8

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

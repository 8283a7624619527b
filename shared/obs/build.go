package obs

import (
	"fmt"
	"runtime/debug"
)

// Build returns one line that says what this binary was built from: the version that the Go tool
// derived from the checkout, the revision of the source ("+" behind it when files were changed) and
// the compiler.
func Build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, changed := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	return fmt.Sprintf("%s (revision %s%s, %s)", info.Main.Version, revision, changed, info.GoVersion)
}

package arch

import (
	"go/types"
	"slices"
	"strings"
	"testing"
)

// TestDecisions_areMadeInOnePlace: audit.Decide judges an act, makes its record and finds the
// refused question. A package that calls authz.Act.Judge by itself is a second copy of that, and
// would sooner or later record something else than it decides.
func TestDecisions_areMadeInOnePlace(t *testing.T) {
	const judge, decide = "(*" + prefix + "shared/authz.Act).Judge", prefix + "shared/audit.Decide"
	var deciders []string
	for _, p := range check(t) {
		for id, used := range p.Info.Uses {
			f, ok := used.(*types.Func)
			switch {
			case !ok:
			case f.FullName() == judge && p.Path != "shared/audit":
				t.Errorf("%s: an act is judged by audit.Decide, in a request and outside of one", p.Fset.Position(id.Pos()))
			case f.FullName() == decide:
				deciders = append(deciders, p.Path)
			}
		}
	}
	slices.Sort(deciders)
	if got := strings.Join(slices.Compact(deciders), " "); !strings.Contains(got, "orchestrator/internal/rights") ||
		!strings.Contains(got, "shared/web") {
		t.Errorf("audit.Decide is called by %q: the search is blind, or somebody decides without it", got)
	}
}

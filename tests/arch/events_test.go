package arch

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// changePackage owns the events of the control-center.
const changePackage = "control-center/internal/change"

// identityEvent is one constant of change.Type.
type identityEvent struct{ name, value, doc string }

// identityEvents returns the constants of change.Type in the order of the source.
func identityEvents(p Package) (all []identityEvent) {
	for _, f := range p.Files {
		ast.Inspect(f.AST, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if t, ok := v.Type.(*ast.Ident); ok && t.Name == "Type" && len(v.Values) == 1 {
				value, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				all = append(all, identityEvent{name: v.Names[0].Name, value: value, doc: strings.TrimSpace(v.Comment.Text())})
			}
			return true
		})
	}
	return all
}

// TestIdentityEvents_table holds the types of events of the control-center to a reviewed file:
// receivers of webhooks and provisioners are written against it. Each type says what happened, and
// the product emits each one somewhere.
func TestIdentityEvents_table(t *testing.T) {
	packages := load(t)
	at := slices.IndexFunc(packages, func(p Package) bool { return p.Path == changePackage })
	if at < 0 {
		t.Fatalf("there is no package %s", changePackage)
	}
	listed := map[string]bool{} // the names in the body of change.Types
	for _, f := range packages[at].Files {
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if fn, ok := n.(*ast.FuncDecl); ok && fn.Name.Name == "Types" {
				ast.Inspect(fn.Body, func(n ast.Node) bool {
					if name, ok := n.(*ast.Ident); ok {
						listed[name.Name] = true
					}
					return true
				})
			}
			return true
		})
	}
	var lines []string
	form, seen := regexp.MustCompile(`^[a-z]+\.[a-z]+(_[a-z]+)*$`), map[string]bool{}
	for _, e := range identityEvents(packages[at]) {
		if !form.MatchString(e.value) || e.doc == "" || seen[e.value] {
			t.Errorf("%s is %q, %q: a type is one noun, a dot and what happened, stands once and has a comment on its line", e.name,
				e.value, e.doc)
		}
		if !listed[e.name] {
			t.Errorf("%s is not in change.Types: no webhook can ask for it", e.name)
		}
		seen[e.value] = true
		emitted := 0
		for _, p := range packages {
			for _, f := range p.Files {
				if !f.Test && strings.HasPrefix(p.Path, "control-center/") {
					emitted += len(uses(f, prefix+changePackage, e.name))
				}
			}
		}
		if emitted == 0 {
			t.Errorf("nothing emits %s", e.value)
		}
		lines = append(lines, e.value+": "+e.doc)
	}
	got, golden := strings.Join(lines, "\n")+"\n", filepath.Join("testdata", "identity_events.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != got {
		t.Errorf("the events of the control-center changed; review it and run: go test ./arch -run IdentityEvents -update\n%s %v",
			firstDifference(string(want), got), err)
	}
}

// withoutChange are the files of the control-center that write to the store without
// change.Committer, with the reason.
var withoutChange = map[string]string{
	changePackage + "/commit.go":                     "it is the one way",
	"control-center/internal/apitoken/use.go":        "the time of a last use gives nobody another right",
	"control-center/internal/auditlog/add.go":        "the index repeats entries that stand in the logs",
	"control-center/internal/revocation/snapshot.go": "the place where a start begins to read says nothing new",

	"control-center/internal/subscription/deliver.go":       "how far a consumer has come is its own business, at the pace of its messages",
	"control-center/internal/subscription/prefill.go":       "objects are copied into a queue, and what is left of a deleted one goes",
	"control-center/internal/subscription/retention.go":     "the pruner commits it, with its own audit entry",
	"control-center/internal/subscription/router.go":        "messages that are stored already get their places",
	"control-center/internal/subscription/subscriptions.go": "a publish is the event itself",
}

// TestChanges_goThroughOnePackage holds law 1 for the control-center: a change commits its
// documents, its events, what it revokes and its audit entry through change.Committer.
func TestChanges_goThroughOnePackage(t *testing.T) {
	used := map[string]bool{}
	for _, p := range load(t) {
		if !strings.HasPrefix(p.Path, "control-center/") {
			continue
		}
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			places := slices.Concat(uses(f, prefix+"shared/audit", "Update"), uses(f, prefix+"shared/audit", "Record"),
				uses(f, prefix+"shared/store", "Update"), uses(f, prefix+"shared/store", "Batch"))
			used[f.Path] = len(places) > 0
			if withoutChange[f.Path] == "" && len(places) > 0 {
				t.Errorf("%v: a change of the control-center goes through change.Committer.Commit, or stands in withoutChange with its "+
					"reason", places)
			}
		}
	}
	for path := range withoutChange {
		if !used[path] {
			t.Errorf("%s writes nothing by itself any more: take it off withoutChange", path)
		}
	}
}

package surrealstore

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/surrealstore/surrealtest"
)

// poison are strings that would do harm if they ever became query text.
var poison = []string{
	`'`, `"`, "`", `\`, `' OR true; --`, `"; DELETE test_plain; "`, `plain:1`, "plain:⟨1⟩", `$ids`, `r"plain:1"`, `{ id: 1 }`, `d"2024-01-01T00:00:00Z"`,
	`2024-01-01T00:00:00Z`, `018f4e2c-0000-7000-8000-000000000000`, `1`, `1.0`, `true`, `NONE`, `NULL`, `[]`, `..`, `/* */`, "a\nb", "\u2028", "ключ", "😀", "<script>",
	`REMOVE DATABASE d`, `id`, `__proto__`,
}

// TestPoisonedTextsAreData is I15, reduced: 31 of 200 strings, as id, index value, member and
// stream of the real engine.
func TestPoisonedTextsAreData(t *testing.T) {
	t.Parallel()
	at, password := surrealtest.Start(t)
	s := open(t, at, password, schema)
	ctx := t.Context()
	for _, p := range poison {
		key := store.Key{Kind: "thing", ID: p}
		body, err := canonical.Make(map[string]any{p: []any{p}, "value": p})
		if err != nil {
			t.Fatal(err)
		}
		entry, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit(ctx, store.Batch{
			Writes:  []store.Write{{Key: key, Expect: store.Absent(), Index: []store.IndexKey{{Name: "state", Value: p}}, Body: body}},
			Appends: []store.Append{{Stream: p, Body: entry}},
		}); err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		if d, err := s.Get(ctx, key); err != nil || string(d.Body) != string(body) || d.Key != key {
			t.Errorf("%q came back as %+v, %v; want %s", p, d, err, body)
		}
		page, err := s.List(ctx, store.Query{Kind: "thing", Index: "state", Prefix: p, Exact: true, Limit: 2, Total: true})
		if err != nil || len(page.Docs) != 1 || page.Total != 1 || page.Docs[0].Key != key {
			t.Errorf("%q is listed as %+v, %v", p, page, err)
		}
		if e, err := s.Read(ctx, p, 0, 2); err != nil || len(e.Entries) != 1 || string(e.Entries[0].Body) != string(entry) {
			t.Errorf("stream %q: %v, %v", p, e, err)
		}
	}
	if page, err := s.List(ctx, store.Query{Kind: "thing", Limit: 100, Total: true}); err != nil || len(page.Docs) != len(poison) ||
		page.Total != len(poison) {
		t.Errorf("%d documents, total %d, %v; want %d", len(page.Docs), page.Total, err, len(poison))
	}
}

// TestTexts_areMadeInOnePlace holds the rule of the package comment: only text.go makes query
// texts, and only link.go hands them to the library. It is the static half of I15.
func TestTexts_areMadeInOnePlace(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				checkCall(t, file, n)
			case *ast.ValueSpec:
				if name, ok := n.Type.(*ast.Ident); ok && name.Name == "text" && file != "text.go" {
					t.Errorf("%s declares a query text", file)
				}
			}
			return true
		})
	}
}

// checkCall complains of a conversion to text outside text.go, of a text argument that is not one
// made there, and of the library's own query functions outside link.go.
func checkCall(t *testing.T, file string, call *ast.CallExpr) {
	t.Helper()
	switch f := call.Fun.(type) {
	case *ast.Ident:
		if f.Name == "text" && file != "text.go" {
			t.Errorf("%s makes a query text", file)
		}
	case *ast.IndexExpr: // surrealdb.Query[T](…)
		if sel, ok := f.X.(*ast.SelectorExpr); ok && sel.Sel.Name == "Query" && file != "link.go" {
			t.Errorf("%s calls the library's Query", file)
		}
	case *ast.SelectorExpr:
		if pkg, ok := f.X.(*ast.Ident); ok && pkg.Name == "surrealdb" && f.Sel.Name != "FromConnection" {
			t.Errorf("%s calls surrealdb.%s", file, f.Sel.Name)
		}
		if f.Sel.Name == "query" {
			switch call.Args[1].(type) {
			case *ast.BasicLit, *ast.BinaryExpr, *ast.CallExpr:
				t.Errorf("%s makes a query text in a call", file)
			}
		}
	}
}

func TestMirror_reversesTheOrder(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	alphabet := []rune("\x00\x01\x02az~\x7f\u0080\u0081\u0082é\ud7ff\ue000\uffff\U00010000\U0010ffff")
	var words []string
	for range 2000 {
		word := make([]rune, r.IntN(4))
		for i := range word {
			word[i] = alphabet[r.IntN(len(alphabet))]
		}
		words = append(words, string(word))
	}
	slices.Sort(words)
	for i := 1; i < len(words); i++ {
		a, b := words[i-1], words[i]
		if a != b && mirror(a) <= mirror(b) {
			t.Fatalf("%q < %q, mirrored %q, %q", a, b, mirror(a), mirror(b))
		}
	}
}

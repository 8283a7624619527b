package arch

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// glossary reads shared/adr/glossary.md: the meaning and the place of each word.
func glossary(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "shared/adr/glossary.md"))
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 3 || strings.HasPrefix(strings.TrimSpace(cells[0]), "-") || strings.TrimSpace(cells[0]) == "word" {
			continue
		}
		word := strings.TrimSpace(cells[0])
		if _, twice := places[word]; twice {
			t.Errorf("%q stands twice in the glossary", word)
		}
		places[word] = strings.Trim(strings.TrimSpace(cells[2]), "`")
	}
	return places
}

// TestGlossary_placesExist: who looks a word up finds the package that owns it.
func TestGlossary_placesExist(t *testing.T) {
	t.Parallel()
	places := glossary(t)
	if len(places) < 40 {
		t.Fatalf("%d words: the table is not read", len(places))
	}
	for word, place := range places {
		if info, err := os.Stat(filepath.Join(root, place)); err != nil || !info.IsDir() {
			t.Errorf("%q is said to be in %s, which is no folder", word, place)
		}
	}
}

// TestTypes_shareANameOnlyInOneMeaning: two types of one module have the same name only when the
// glossary gives that name one meaning (decision 49).
func TestTypes_shareANameOnlyInOneMeaning(t *testing.T) {
	t.Parallel()
	words := glossary(t)
	packages := map[string][]string{} // module and type -> packages
	for _, p := range load(t) {
		module, _, _ := strings.Cut(p.Path, "/")
		if module == "tests" {
			continue
		}
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			for _, d := range f.AST.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.TYPE {
					continue
				}
				for _, s := range g.Specs {
					key := module + " " + s.(*ast.TypeSpec).Name.Name
					packages[key] = append(packages[key], p.Path)
				}
			}
		}
	}
	for key, in := range packages {
		_, name, _ := strings.Cut(key, " ")
		slices.Sort(in)
		if _, known := words[name]; len(in) > 1 && !known {
			t.Errorf("the type %s stands for different things in %s: "+
				"rename one, or give the name its one meaning in shared/adr/glossary.md", name, strings.Join(in,
				" and "))
		}
	}
}

// Widths of lines in columns; a tab counts 4.
const (
	maxComment = 100
	maxCode    = 140
)

// TestLines_areNotWide: a comment has at most 100 columns, code 140, also a code block in a
// comment. A raw string is what it is.
func TestLines_areNotWide(t *testing.T) {
	t.Parallel()
	for _, p := range load(t) {
		for _, f := range p.Files {
			src, err := os.ReadFile(filepath.Join(root, f.Path))
			if err != nil {
				t.Fatal(err)
			}
			raw := rawStrings(f)
			for i, line := range strings.Split(string(src), "\n") {
				most := maxCode
				if text := strings.TrimSpace(line); strings.HasPrefix(text, "//") && !strings.HasPrefix(text, "//\t") { // a code block
					most = maxComment
				}
				if n := utf8.RuneCountInString(line) + 3*strings.Count(line, "\t"); n > most && !raw[i+1] {
					t.Errorf("%s:%d has %d columns, the limit is %d", f.Path, i+1, n, most)
				}
			}
		}
	}
}

// rawStrings returns the lines of a file that a raw string touches.
func rawStrings(f File) map[int]bool {
	lines := map[int]bool{}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING && s.Value[0] == '`' {
			for l := f.Fset.Position(s.Pos()).Line; l <= f.Fset.Position(s.End()).Line; l++ {
				lines[l] = true
			}
		}
		return true
	})
	return lines
}

// TestComments_beginWithTheNameOfWhatTheyDescribe: a comment above a function or type of the
// product whose first word looks like a name is about that function or type. After a renaming the
// old name would stay there.
func TestComments_beginWithTheNameOfWhatTheyDescribe(t *testing.T) {
	t.Parallel()
	for _, p := range load(t) {
		if strings.HasPrefix(p.Path, "tests") {
			continue
		}
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			judge := func(doc *ast.CommentGroup, name string) {
				if doc == nil {
					return
				}
				first, rest, _ := strings.Cut(doc.Text(), " ")
				verb, _, _ := strings.Cut(rest, " ")
				if first == name || !strings.HasSuffix(verb, "s") && verb != "are" || strings.ContainsAny(first, "., ") || ordinary[first] {
					return
				}
				t.Errorf("%s:%d: the comment of %s begins with %q", f.Path, f.Fset.Position(doc.Pos()).Line, name, first)
			}
			for _, d := range f.AST.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					judge(d.Doc, d.Name.Name)
				case *ast.GenDecl:
					if d.Tok == token.TYPE && len(d.Specs) == 1 {
						judge(d.Doc, d.Specs[0].(*ast.TypeSpec).Name.Name)
					}
				}
			}
		}
	}
}

// ordinary are first words of comments that are no names.
var ordinary = map[string]bool{"A": true, "An": true, "The": true, "It": true, "This": true, "These": true, "Each": true, "Every": true,
	"What": true, "Who": true}

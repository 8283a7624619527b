package arch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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

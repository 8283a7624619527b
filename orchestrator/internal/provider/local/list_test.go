package local

import (
	"os"
	"testing"
)

// TestList_aServerThatCannotBeReadIsNotLeftOut: a reconcile takes who is not in the list for gone,
// and it removed a server that ran from the inventory because half of its server.json was there.
func TestList_aServerThatCannotBeReadIsNotLeftOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var folders []folder
	for _, tag := range []string{"one", "two"} {
		f, err := build(dir, serverIdentity{ID: idOf(tag), Name: tag, Tag: tag})
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, f)
	}
	d := open(t, dir)
	for _, name := range []string{"server.json", "process.json"} {
		path := folders[0].at(name)
		whole, _ := os.ReadFile(path) // no process has served it yet
		if err := os.WriteFile(path, []byte(`{"id":`), 0o600); err != nil {
			t.Fatal(err)
		}
		if list, err := d.List(t.Context()); err == nil {
			t.Errorf("with a damaged %s the list is %v", name, list)
		}
		if whole == nil {
			whole = []byte("{}")
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := d.List(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("after the repair: %v %v", list, err)
	}
}

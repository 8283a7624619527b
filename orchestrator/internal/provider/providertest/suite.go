// Package providertest holds drivers to the port's contract: one suite, run by the test of every
// driver.
//
// The one rule: what package operation relies on after a crash is tested here, also on a reopened
// driver.
package providertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// Suite tests a driver. open is called again to reopen: it returns a driver over the same account.
func Suite(t *testing.T, open func() provider.Driver) {
	d := open()
	spec := func(tag string) provider.Spec {
		return provider.Spec{Tag: tag, Name: "web-" + tag, Plan: "small", Zone: "z"}
	}
	class := func(err error) dag.Class {
		if e := provider.Classify(err); e != nil {
			return e.Class
		}
		return dag.OK
	}

	var wg sync.WaitGroup
	for range 4 { // the same tag at once is one server
		wg.Go(func() {
			if _, err := d.Create(t.Context(), spec("a")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b, err := d.Create(t.Context(), provider.Spec{Tag: "b", Name: "name with 'signs' $(x)", Wait: true})
	if err != nil {
		t.Fatal(err)
	}
	if b.ID == "" || b.Tag != "b" || b.Name != "name with 'signs' $(x)" {
		t.Errorf("created: %+v", b)
	}
	for what, change := range map[string]func(*provider.Spec){
		"name": func(s *provider.Spec) { s.Name = "x" }, "plan": func(s *provider.Spec) { s.Plan = "x" },
		"zone": func(s *provider.Spec) { s.Zone = "x" },
	} {
		s := spec("a")
		change(&s)
		if _, err := d.Create(t.Context(), s); class(err) != dag.ConflictClass {
			t.Errorf("the same tag with another %s: %v", what, err)
		}
	}

	if _, err := d.Create(t.Context(), provider.Spec{Tag: "c", Name: "web-a", Plan: "small", Zone: "z"}); !errors.Is(err,
		provider.ErrTaken) || class(err) != dag.ConflictClass {
		t.Errorf("a second server of that name: %v", err)
	}
	for _, d := range []provider.Driver{d, open()} {
		if _, err := d.Create(t.Context(), provider.Spec{Tag: "c", Name: b.Name}); !errors.Is(err, provider.ErrTaken) {
			t.Errorf("a second server of a name that holds signs: %v", err)
		}
		a, ok, err := d.Find(t.Context(), "a")
		if !ok || err != nil || a.Name != "web-a" || a.Plan != "small" || a.Zone != "z" || a.Tag != "a" {
			t.Errorf("found: %+v %v %v", a, ok, err)
		}
		if _, ok, err := d.Find(t.Context(), "c"); ok || err != nil {
			t.Errorf("found what is not there: %v %v", ok, err)
		}
		list, err := d.List(t.Context())
		if err != nil || len(list) != 2 || !slices.IsSortedFunc(list,
			func(x, y provider.Server) int { return strings.Compare(x.ID, y.ID) }) {
			t.Errorf("list: %+v %v", list, err)
		}
		if err := d.Delete(t.Context(), provider.Server{ID: a.ID, Tag: "b", Name: a.Name}); class(err) != dag.Permanent {
			t.Errorf("delete under another tag: %v", err)
		}
		conn, err := d.Connect(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := conn.Run(t.Context(), provider.Command{Argv: []string{"true"}}); err != nil || out.Exit != 0 {
			t.Errorf("run: %+v %v", out, err)
		}
		if err := conn.Upload(t.Context(), "some/file", 0o600, []byte("x")); err != nil {
			t.Errorf("upload: %v", err)
		}
		if err := conn.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}

	for range 2 {
		if err := d.Delete(t.Context(), provider.Server{ID: b.ID, Tag: b.Tag}); err != nil {
			t.Error(err)
		}
	}
	for i := range 4 { // at once, two of them by tag alone
		wg.Go(func() {
			s := provider.Server{Tag: "a"}
			if a, ok, _ := d.Find(t.Context(), "a"); ok && i%2 == 0 {
				s.ID = a.ID
			}
			if err := d.Delete(t.Context(), s); err != nil {
				t.Error(fmt.Errorf("delete at once: %w", err))
			}
		})
	}
	wg.Wait()
	if list, err := open().List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("left: %+v %v", list, err)
	}
	if _, err := d.Connect(t.Context(), b); class(err) != dag.Permanent || !errors.Is(err, provider.ErrGone) {
		t.Errorf("connection to what is gone: %v", err)
	}
	var made atomic.Int32 // of one name, by many tags at once
	for i := range 8 {
		wg.Go(func() {
			_, err := d.Create(t.Context(), provider.Spec{Tag: fmt.Sprint("rival-", i), Name: "web-a"})
			if err == nil {
				made.Add(1)
			} else if !errors.Is(err, provider.ErrTaken) {
				t.Errorf("rivals for a name: %v", err)
			}
		})
	}
	wg.Wait()
	list, err := open().List(t.Context())
	if err != nil || len(list) != 1 || made.Load() != 1 {
		t.Fatalf("of one name there are %+v, %d were made: %v", list, made.Load(), err)
	}
	if err := d.Delete(t.Context(), list[0]); err != nil {
		t.Error(err)
	}
	again, err := d.Create(t.Context(), provider.Spec{Tag: "later", Name: "web-a"})
	if err != nil {
		t.Errorf("the name of a deleted server: %v", err)
	}
	if err := d.Delete(t.Context(), again); err != nil {
		t.Error(err)
	}
}

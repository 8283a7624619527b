package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
)

// quotes is a body whose values are quoted by errors.
type quotes struct {
	IDs []string `json:"ids"`
	How string   `json:"how"`
}

// TestLog_quotesWhatTheCallerSent: a secret that was sent where an id belongs is shown to who sent
// it, and is in no line of the log, however the error was made.
func TestLog_quotesWhatTheCallerSent(t *testing.T) {
	t.Parallel()
	const planted = `planted-"in a body`
	for how, c := range map[string]struct {
		err    func(id string) error
		shown  bool   // to the caller
		logged string // and this is in the log
	}{
		"fault": {func(id string) error { return fault.New(fault.NotFound, "x.unknown", "There is no x %s of 100%%.", id) }, true,
			"There is no x … of 100%."},
		"quoted":  {func(id string) error { return fault.New(fault.Invalid, "x.bad", "%-5q is bad", id) }, true, "… is bad"},
		"clipped": {func(id string) error { return fault.New(fault.NotFound, "x.unknown", "no %s there", id[:12]) }, true, "no … there"},
		"wrapped": {func(id string) error {
			return fmt.Errorf("x %s: %w", id, fault.New(fault.Conflict, "x.taken", "%s is taken", id))
		}, true, "… is taken"},
		"cause": {func(id string) error {
			return fault.New(fault.NotFound, "x.unknown", "no x").Because(&fs.PathError{Op: "open", Path: id, Err: fs.ErrNotExist})
		}, false, "no x"},
		"cause of ours": {func(id string) error {
			return fault.New(fault.Unavailable, "x.busy",
				"busy").Because(&fs.PathError{Op: "open", Path: "/x/" + id, Err: fs.ErrPermission})
		}, false, "busy: open /x/…: permission denied"},
		"fault in ours": {func(id string) error {
			return fault.New(fault.Unavailable, "x.busy", "busy").Because(fault.New(fault.NotFound, "y", "no %s", id))
		}, false, "busy: no …"},
		"plain": {func(id string) error { return fmt.Errorf("open %q: %w", id, errors.New("no such file")) }, false, `open \"…\": no such file`},
		"panic": {func(id string) error { panic("bad id " + id) }, false, "bad id …"},
	} {
		g := newRig(t, func(cfg *Config) {
			cfg.Routes = append(cfg.Routes, Route{Method: "POST", Path: "/quotes", Op: "quote", Permission: Allow("create", "things"),
				Audit:  "thing.create",
				Handle: To(func(_ context.Context, in quotes) (Notice, error) { return "", c.err(in.IDs[0]) })})
		})
		body := fmt.Sprintf(`{"ids":[%q],"how":"a"}`, planted)
		w := g.send("POST", "/quotes", body, asAlice)
		log := g.log.String()
		if strings.Contains(log, "planted-") || !strings.Contains(log, c.logged) {
			t.Errorf("%s: the log lacks %q, or has what the caller sent:\n%s", how, c.logged, log)
		}
		if strings.Contains(w.Body.String(), "planted-") != c.shown {
			t.Errorf("%s: the caller is answered %s", how, w.Body)
		}
	}
}

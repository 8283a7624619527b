package web

import (
	"context"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/naming"
)

type labelled struct {
	Name  string   `json:"name" required:"true" form:"name"`
	Other string   `json:"other" form:"name"`
	Names []string `json:"names" form:"name"`
	Title string   `json:"title" form:"free" max:"20"`
}

// TestForm_namesAreNoOptionsAndNoTricks is decision 38: a member with a form refuses other texts
// with its place.
func TestForm_namesAreNoOptionsAndNoTricks(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{{Method: "POST", Path: "/t", Op: "t", Permission: Open(), Reads: true,
			Handle: To(func(_ context.Context, _ labelled) (Notice, error) { return "", nil })}}
	})
	for body, want := range map[string]string{
		`{"name":"web-01","other":"","names":["a","b.c"],"title":"Zoë"}`: "", `{"name":"web-01","title":""}`: "",
		`{"name":"-oProxyCommand=touch pwned;"}`: "/name", `{"name":"a\nb"}`: "/name", `{"name":""}`: "/name", `{"name":"a","other":"../x"}`: "/other",
		`{"name":"a","names":["a","-b","*",""]}`: "/names/1 /names/2 /names/3", `{"name":"` + strings.Repeat("x", naming.Max+1) + `"}`: "/name",
		`{"name":"a","title":"\u001b[2J"}`: "/title", `{"name":"a","title":"Zoe\u0308"}`: "/title", `{"name":"a","title":"` + strings.Repeat("x", 21) + `"}`: "/title",
	} {
		w := g.send("POST", "/t", body)
		var got []string
		if w.Code != 200 {
			for _, f := range refusalOf(t, w).Fields {
				got = append(got, f.Pointer)
			}
		}
		if strings.Join(got, " ") != want || want != "" && w.Code != 422 {
			t.Errorf("%s: status %d at %q, want 422 at %q", body, w.Code, got, want)
		}
	}
}

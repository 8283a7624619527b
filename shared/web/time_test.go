package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/instant"
)

// TestTimes_haveOneWidthInAnswers is decision 47: encoding/json writes as many digits as a time
// happens to have.
func TestTimes_haveOneWidthInAnswers(t *testing.T) {
	t.Parallel()
	type row struct {
		At    time.Time  `json:"at"`
		Ended *time.Time `json:"ended"`
		Never *time.Time `json:"never"`
	}
	whole, odd := time.Date(2025, 9, 26, 10, 0, 0, 0, time.UTC), time.Date(2025, 9, 26, 12, 0, 0, 123_456_789, time.FixedZone("", 7200))
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{{Method: "GET", Path: "/times", Op: "times", Permission: Open(),
			Handle: To(func(context.Context, None) ([]row, error) {
				return []row{{At: whole, Ended: &odd}}, nil
			})}}
	})
	const want = `"data":[{"at":"2025-09-26T10:00:00.000000Z","ended":"2025-09-26T10:00:00.123456Z","never":null}]`
	if got := g.send("GET", "/times", "").Body.String(); !strings.Contains(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestTimes_areReadInEveryForm is decision 47 for parameters and bodies: an upper bound includes
// the second, minute or day it names.
func TestTimes_areReadInEveryForm(t *testing.T) {
	t.Parallel()
	type in struct {
		From instant.Span `query:"from"`
		To   instant.Span `query:"to"`
		At   *time.Time   `json:"at"`
	}
	var got in
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{{Method: "POST", Path: "/times", Op: "times", Permission: Open(), Reads: true,
			Handle: To(func(_ context.Context, in in) (Notice, error) {
				got = in
				return "", nil
			})}}
	})
	send := func(from, to, at string) *httptest.ResponseRecorder {
		return g.send("POST", "/times?from="+url.QueryEscape(from)+"&to="+url.QueryEscape(to), `{"at":"`+at+`"}`)
	}
	if w := send("20250926t10z", "2025-09-26", "2025-09-26T12:00:00+02:00"); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	ten := time.Date(2025, 9, 26, 10, 0, 0, 0, time.UTC)
	if !got.From.First.Equal(ten) || !got.To.Last.Equal(ten.Add(14*time.Hour-1)) || !got.At.Equal(ten) {
		t.Errorf("%+v", got)
	}
	if w := send("2025-13-01", "x", "2025-09-26"); w.Code != http.StatusBadRequest ||
		!strings.Contains(w.Body.String(), "from must be a time such as") {
		t.Errorf("bad parameters: %d %s", w.Code, w.Body)
	}
	if w := send("2025", "2025", "26.09.2025"); w.Code != http.StatusUnprocessableEntity ||
		!strings.Contains(w.Body.String(), "/at must be a time such as") {
		t.Errorf("a bad member: %d %s", w.Code, w.Body)
	}
}

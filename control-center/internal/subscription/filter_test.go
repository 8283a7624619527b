package subscription

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/shared/fault"
)

// TestWants_asConditionsSay: texts, lists, numbers and booleans at a path, before or after the
// change.
func TestWants_asConditionsSay(t *testing.T) {
	t.Parallel()
	const body = `{"old":{"dn":"uid=dana,ou=a,dc=x"},"new":{"dn":"uid=dana,ou=b,dc=x","n":18446744073709551617,"on":true,
		"properties":{"mail":["dana@x.org","d@y.org"],"deep":{"er":[{"k":"v"}]}}}}`
	for _, c := range []struct {
		filter []Condition
		want   bool
	}{
		{nil, true},
		{[]Condition{{Member: "dn", Suffix: ",ou=a,dc=x"}}, true}, // it leaves that part of the directory
		{[]Condition{{Member: "dn", Suffix: ",ou=b,dc=x"}}, true},
		{[]Condition{{Member: "dn", Suffix: ",ou=c,dc=x"}}, false},
		{[]Condition{{Member: "dn", Suffix: ",ou=a,dc=x"}, {Member: "properties.mail", Suffix: "@y.org"}}, false}, // never both
		{[]Condition{{Member: "properties.mail", Prefix: "d@"}}, true},
		{[]Condition{{Member: "properties.deep.er.k", Equals: "v"}}, true},
		{[]Condition{{Member: "properties.deep", Equals: "v"}}, false},
		{[]Condition{{Member: "n", Equals: "18446744073709551617"}, {Member: "on", Equals: "true"}}, true},
		{[]Condition{{Member: "absent", Prefix: "x"}}, false},
	} {
		if got := wants(c.filter, json.RawMessage(body)); got != c.want {
			t.Errorf("%+v: %t", c.filter, got)
		}
	}
}

// TestRedact_leavesOutAndKeepsTheRest: members go from both sides, numbers stay as they are, and a
// body that has none of them is not touched.
func TestRedact_leavesOutAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	body := json.RawMessage(`{"old":{"secret":"a"},"new":{"secret":"b","n":18446744073709551617,"p":{"secret":1,"x":1.0}}}`)
	want := `{"new":{"n":18446744073709551617,"p":{"x":1.0}},"old":{}}`
	if got := redact([]string{"secret", "p.secret", "none.at.all"}, body); string(got) != want {
		t.Errorf("%s", got)
	}
	if got := redact([]string{"password", "p.password"}, body); string(got) != string(body) {
		t.Errorf("%s", got)
	}
}

// TestFilter_passesOverWithoutGaps: what is not wanted gets no number, with one message in flight;
// and neither a restart nor another filter gives a number to another message.
func TestFilter_passesOverWithoutGaps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory()
		s := open(t, db)
		d := user1("a", "x")
		d.Filter, d.Redact = []Condition{{Member: "kind", Equals: "good"}}, []string{"secret"}
		s.mustCreate(t, d)
		publish := func(kinds ...string) {
			for i, kind := range kinds {
				text := fmt.Sprintf(`{"old":{},"new":{"kind":%q,"n":%d,"secret":"s"}}`, kind, i)
				if err := s.Publish(t.Context(), []directory.Message{{Realm: "udm", Topic: "x", Body: json.RawMessage(text)}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		next := func(n, seq int) {
			t.Helper()
			got, reason, err := s.Next(t.Context(), "a", 5*time.Second, false)
			if want := fmt.Sprintf(`{"new":{"kind":"good","n":%d},"old":{}}`, n); err != nil || got == nil || string(got.Body) != want ||
				got.Sequence != uint64(seq) {
				t.Fatalf("%+v, %s, %v; want %s as %d", got, reason, err, want, seq)
			}
		}
		bad := make([]string, 3*skipLook)
		for i := range bad {
			bad[i] = "bad"
		}
		publish(append(append([]string{"bad", "good", "bad"}, bad...), "good")...)
		next(1, 1)
		s = open(t, db)
		s.ack(t, "a", 1)
		next(len(bad)+3, 2)
		s.ack(t, "a", 2)
		publish(bad...)
		s.expectNone(t, "a", Empty)
		if d, err := s.Depth(t.Context(), "a"); err != nil || d.Waiting != 0 {
			t.Errorf("%+v, %v: what nobody wants waits", d, err)
		}
		publish("good", "other")
		next(0, 3)
		if err := s.Update(t.Context(), "a", SubscriptionEdit{Filter: &d.Filter}); err != nil {
			t.Fatal(err)
		}
		s.expectNone(t, "a", InFlight) // the same filter is no other one
		other := []Condition{{Member: "kind", Equals: "other"}}
		if err := s.Update(t.Context(), "a", SubscriptionEdit{Filter: &other}); err != nil {
			t.Fatal(err)
		}
		if err := s.Acknowledge(t.Context(), "a", 3); !errors.Is(err, ErrNoMessage) {
			t.Errorf("a number from before the filter: %v", err)
		}
		if got, _, err := s.Next(t.Context(), "a", 5*time.Second, false); err != nil || got == nil || got.Sequence != 4 {
			t.Errorf("%+v, %v", got, err)
		}
		wrong := []Condition{{Member: "kind"}}
		if err := s.Update(t.Context(), "a", SubscriptionEdit{Filter: &wrong}); !fault.Is(err, fault.Invalid) {
			t.Error(err)
		}
	})
}

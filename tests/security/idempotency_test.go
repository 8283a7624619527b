package security

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"testing"

	"github.com/provisioning-platform/platform/shared/id"
)

// TestIdempotency_everyOperationOnceAndNoSecretIsKept is decision 50 on both route tables: every
// operation that changes something for a known caller honours a key, no other one does, and neither
// store keeps a secret of a request or an answer, nor a plain hash of a body, against which guesses
// could be tried.
func TestIdempotency_everyOperationOnceAndNoSecretIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	running := true
	t.Cleanup(func() {
		if running {
			_ = s.Close()
		}
	})
	c := &canaries{forms: map[string][][]byte{}}
	root := s.people["admin+mfa"]
	last := func(op operation) bool { return op.id == "logout" || op.id == "removeMFA" } // they end the caller's session
	ops := s.operations(t)
	slices.SortFunc(ops, func(a, b operation) int {
		if last(a) != last(b) {
			return map[bool]int{true: 1, false: -1}[last(a)]
		}
		return map[bool]int{true: 1, false: -1}[a.String() > b.String()]
	})
	replayed, once := 0, 0
	for _, op := range ops {
		if changes := op.method != "GET" && !op.open && !asks[op.id]; op.keyed != changes {
			t.Errorf("%s: Idempotency-Key documented: %t, want %t", op, op.keyed, changes)
		} else if !changes {
			continue
		}
		path, body := op.url(nowhere), map[string]any{}
		if op.body != nil {
			body = op.body.sample().(map[string]any)
		}
		secret := "canary-of-" + op.id + "-" + id.Random()
		switch op.id {
		case "createUser":
			body = map[string]any{"username": marker, "email": "keyed-1@example.com", "password": secret, "roles": []string{"viewer"}}
		case "updateUser":
			path, body = op.url(s.people["viewer"].id), map[string]any{"password": secret}
		case "enrollTOTPFor":
			path = op.url(s.people["viewer"].id)
		case "verifyTOTP":
			body["code"] = secret
		case "executeRollback":
			body = map[string]any{"operation_ids": []string{nowhere}}
		}
		var text any
		if op.body != nil {
			raw, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(raw)
			c.add("a secret sent to "+op.id, secret)
			c.add("a plain hash of the body of "+op.id, string(sum[:]))
			c.add("a plain hash of the body of "+op.id, hex.EncodeToString(sum[:]))
			text = string(raw)
		}
		token := root.token
		if op.id == "enrollTOTP" { // for who has none
			token = s.people["developer"].token
		}
		key := "Idempotency-Key: " + op.id
		first := s.send(t, op.service, op.method, path, token, text, key)
		again := s.send(t, op.service, op.method, path, token, text, key)
		var told struct{ Code string }
		_ = json.Unmarshal(again.Raw, &told)
		switch {
		case last(op):
			if first.Status != 200 || again.Status != 401 {
				t.Errorf("%s: %d, then %d: %s", op, first.Status, again.Status, again.Raw)
			}
			if op.id == "removeMFA" {
				root.second = nil
			}
			if err := s.signIn(t.Context(), root); err != nil {
				t.Fatal(err)
			}
		case first.Status >= 500 || first.Status == 403:
			t.Errorf("%s: %d %s", op, first.Status, first.Raw)
		case first.Status < 300 && shows.Match(first.Raw):
			if again.Status != 409 || told.Code != "idempotency.shown_once" || !op.secret {
				t.Errorf("%s shows a secret (said: %t); its repeat: %d %s", op, op.secret, again.Status, again.Raw)
			}
			once++
			for _, text := range secretTexts(t, first) {
				c.add("a secret shown by "+op.id, text)
			}
		default:
			if again.Status != first.Status || again.Header.Get("Idempotency-Replayed") != "true" ||
				string(again.Raw) != string(first.Raw) {
				t.Errorf("%s: first %d %s, then %d %s", op, first.Status, first.Raw, again.Status, again.Raw)
			}
			replayed++
		}
		if first.Status < 300 && !last(op) {
			if other := s.send(t, op.service, op.method, path+"?x=1", token, text, key); other.Status != 422 {
				t.Errorf("%s: the same key for another request: %d %s", op, other.Status, other.Raw)
			}
		}
	}
	if replayed < 10 || once < 2 {
		t.Errorf("only %d operations replayed and %d showed a secret: the walk is blind", replayed, once)
	}
	search := func(where string, b []byte) {
		if found := c.in(b); found != nil {
			t.Errorf("%s holds %v: %s", where, found, around(b, c))
		}
	}
	s.sweepFiles(t, dir, "while running", search)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	running = false
	s.sweepFiles(t, dir, "after the end", search)
}

// shows finds members of an answer whose name says that it is a secret; one of them makes the
// operation one that must say so.
var shows = regexp.MustCompile(`"[a-z_]*(secret|password|recovery|otpauth|private|token|ticket)[a-z_]*":["\[]`)

// secretTexts returns the texts of an answer's data that are long enough to be secrets.
func secretTexts(t *testing.T, a answer) (texts []string) {
	t.Helper()
	var data any
	a.data(t, &data)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, of := range v {
				if name != "id" {
					walk(of)
				}
			}
		case []any:
			for _, of := range v {
				walk(of)
			}
		case string:
			if len(v) >= 12 {
				texts = append(texts, v)
			}
		}
	}
	walk(data)
	return texts
}

package provisioning

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestAPI_whoIsAtTheWrongPathIsUnauthorized tries every caller at every path that the document has:
// who does not belong there gets 401 with a challenge, and nobody ever gets 403.
func TestAPI_whoIsAtTheWrongPathIsUnauthorized(t *testing.T) {
	t.Parallel()
	g := open(t)
	for _, name := range []string{"mail", "other"} {
		if status, _, text := g.do(admin, "POST", "/v1/subscriptions", fmt.Sprintf(newSub, name)); status != 201 {
			t.Fatal(status, text)
		}
	}
	const mine, other, prefill = "mail:pa:ss wörd", "other:pa:ss wörd", "prefill:prefill"
	allowed := map[string][]string{
		"listSubscriptions": {admin}, "createSubscription": {admin}, "updateSubscription": {admin}, "getSubscription": {mine},
		"setPrefillStatus": {prefill}, "nextMessage": {mine}, "acknowledgeMessage": {mine}, "streamMessages": {mine},
		"publishMessage": {publisher}, "publishMessages": {publisher}, "getQueue": {mine, admin}, "rewindSubscription": {mine, admin},
		"restartPrefill": {mine, admin}, "listDeadLetters": {mine, admin}, "getDeadLetter": {mine, admin},
		"requeueDeadLetter": {mine, admin}, "dropDeadLetter": {mine, admin}, "deleteSubscription": {mine, admin},
	}
	seen := 0
	for path, methods := range published(t, g).Paths {
		for method, op := range methods {
			if len(op.Security) == 0 {
				continue
			}
			right, known := allowed[op.ID]
			if !known {
				t.Errorf("say who may use %s", op.ID)
			}
			seen++
			at := strings.NewReplacer("{name}", "mail", "{seq_num}", "1").Replace(path)
			for _, who := range []string{"", admin, prefill, publisher, mine, other} {
				if op.ID == "streamMessages" && who == mine || op.ID == "deleteSubscription" && (who == mine || who == admin) {
					continue // it would last, or end the others
				}
				status, head, text := g.do(who, strings.ToUpper(method), at+"?timeout=0", "{}")
				may := false
				for _, r := range right {
					may = may || r == who
				}
				if status == 403 || may == (status == 401) || status == 401 && head.Get("WWW-Authenticate") != "Basic" {
					t.Errorf("%s as %q: %d %s", op.ID, who, status, text)
				}
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("%d operations were tried, want %d", seen, len(allowed))
	}
}

// operation is what the tests read of an operation of the document.
type operation struct {
	ID        string                     `json:"operationId"`
	Tags      []string                   `json:"tags"`
	Security  []map[string]any           `json:"security"`
	Body      json.RawMessage            `json:"requestBody"`
	Responses map[string]json.RawMessage `json:"responses"`
}

// openAPI is what the tests read of the document.
type openAPI struct {
	Info       struct{ Title string }
	Paths      map[string]map[string]operation
	Components struct {
		Schemes map[string]struct{ Scheme string } `json:"securitySchemes"`
	}
}

func published(t *testing.T, g *site) (d openAPI) {
	t.Helper()
	if _, _, text := g.do("", "GET", "/openapi.json", ""); json.Unmarshal([]byte(text), &d) != nil {
		t.Fatal(text)
	}
	return d
}

// TestDocs_ofThisAPIAndNotOfTheOther: the document says how one signs in here, which bodies there
// are and what is answered, and its pages ask nobody else for anything.
func TestDocs_ofThisAPIAndNotOfTheOther(t *testing.T) {
	t.Parallel()
	g := open(t)
	d := published(t, g)
	if d.Info.Title != "Provisioning REST APIs" || d.Components.Schemes["HTTPBasic"].Scheme != "basic" || len(d.Components.Schemes) != 1 {
		t.Errorf("%+v", d.Components)
	}
	for path, want := range map[string]string{"/v1/subscriptions": "subscriptions", "/v1/messages": "messages",
		"/v1/subscriptions/{name}/messages/next": "messages", "/v1/subscriptions/{name}/prefill": "subscriptions"} {
		for method, op := range d.Paths[path] {
			if len(op.Tags) != 1 || op.Tags[0] != want || len(op.Security) != 1 || op.Security[0]["HTTPBasic"] == nil {
				t.Errorf("%s %s: %+v", method, path, op)
			}
			if op.Responses["403"] != nil || op.Responses["400"] != nil || op.Responses["401"] == nil {
				t.Errorf("%s %s refuses with %v", method, path, op.Responses)
			}
		}
	}
	create := d.Paths["/v1/subscriptions"]
	if b := string(create["post"].Body); !strings.Contains(b, "realms_topics") {
		t.Errorf("create takes %s", b)
	}
	if r := string(create["post"].Responses["201"]); !strings.Contains(r, `"null"`) {
		t.Errorf("create answers %s", r)
	}
	if r := string(create["get"].Responses["200"]); !strings.Contains(r, "prefill_queue_status") || strings.Contains(r, "success") {
		t.Errorf("list answers %s", r)
	}
	for _, path := range []string{"/docs", "/redoc"} {
		resp, err := http.Get(g.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		page := string(text)
		if err != nil || resp.StatusCode != 200 || !strings.Contains(page, "-u &#34;$NAME:$PASSWORD&#34;") ||
			strings.Contains(page, "Bearer") || strings.Contains(page, "<script") || strings.Contains(page, "src=") {
			t.Errorf("%s: %d %v", path, resp.StatusCode, err)
		}
	}
}

package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// The users of the Provisioning API that these tests configure, as name:password.
const (
	directoryAdmin     = "admin:of the admin: 1"
	directoryPrefill   = "prefill:of the prefill 2"
	directoryPublisher = "udm:of the publisher 3"
)

// directory is a control-center that serves the Provisioning API (contracts/provisioning-api.md).
type directory struct {
	*rig.Rig
	t       *testing.T
	url     string // without a slash at the end
	udm     *udmStub
	surreal bool
	first   string // the list of subscriptions of the fresh installation
	names   *atomic.Int64
}

// provisioningTest is one numbered behaviour of section 3, or defect of section 4.1.
type provisioningTest struct {
	number int
	name   string
	test   func(d *directory)
}

// TestProvisioning runs the behaviours and the defects on both stores, beside each other: most wait
// for a window or a time-out to pass.
func TestProvisioning(t *testing.T) {
	for _, store := range []string{"embedded", "surrealdb"} {
		if *only != "" && *only != store {
			continue
		}
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			d := newDirectory(t, store == "surrealdb", newUDM(t))
			run := func(form string, tests []provisioningTest) {
				for _, p := range tests {
					t.Run(fmt.Sprintf(form, p.number, p.name), func(t *testing.T) {
						t.Parallel()
						p.test(d.in(t))
					})
				}
			}
			t.Run("all", func(*testing.T) { // ends when all have, before the services do
				run("%02d_%s", provisioningBehaviours())
				run("defect%02d_%s", directoryDefects)
			})
		})
	}
}

// provisioningBehaviours returns every behaviour.
func provisioningBehaviours() []provisioningTest {
	return slices.Concat(directorySubscriptions, directoryMessages, directoryPrefills, directoryClients)
}

// TestProvisioning_listsWhatIsMissing holds behaviours and defects without a test to the golden
// file.
func TestProvisioning_listsWhatIsMissing(t *testing.T) {
	got := ""
	for _, list := range []struct {
		what  string
		n     int
		tests []provisioningTest
	}{{"behaviour", 36, provisioningBehaviours()}, {"defect", 14, directoryDefects}} {
		tested := map[int]bool{}
		for _, p := range list.tests {
			if tested[p.number] || p.number < 1 || p.number > list.n {
				t.Errorf("%s %d has two tests, or is none", list.what, p.number)
			}
			tested[p.number] = true
		}
		for n := range list.n {
			if !tested[n+1] {
				got += fmt.Sprintf("%s %d\n", list.what, n+1)
			}
		}
	}
	golden := filepath.Join("testdata", "provisioning_missing.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("the list of untested behaviours changed; review it and run with -update:\n%s", got)
	}
}

// newDirectory starts a control-center of its own with the Provisioning API.
func newDirectory(t *testing.T, surreal bool, udm *udmStub) *directory {
	t.Helper()
	d, o := prepareDirectory(t, surreal, udm)
	if surreal {
		rigtest.UseSurreal(t, &o)
	}
	d.Rig = rigtest.Prepare(t, o)
	d.start()
	r := d.ask(directoryAdmin, "GET", "/v1/subscriptions", nil)
	d.first = r.text
	return d
}

// prepareDirectory writes the settings of a control-center with the Provisioning API.
func prepareDirectory(t *testing.T, surreal bool, udm *udmStub) (*directory, rig.Options) {
	t.Helper()
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	o.ControlCenterConfig = filepath.Join(o.Dir, "control-center.toml")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{"udm": udmPassword}
	for _, pair := range []string{directoryAdmin, directoryPrefill, directoryPublisher} {
		name, password, _ := strings.Cut(pair, ":")
		files["role-"+name] = password
	}
	for name, password := range files {
		write(filepath.Join(o.Dir, name), password+"\n")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	write(o.ControlCenterConfig, fmt.Sprintf(`log_level = "debug"
[provisioning]
listen = [%q]
root_path = "/univention/provisioning"
admin_password_file = %q
prefill_password_file = %q
publisher_password_file = %q
prefill_attempts = 4
[provisioning.udm]
url = %q
user = %q
password_file = %q
`, address, filepath.Join(o.Dir, "role-admin"), filepath.Join(o.Dir, "role-prefill"), filepath.Join(o.Dir, "role-udm"),
		udm.URL+"/univention/udm", udmUser, filepath.Join(o.Dir, "udm")))
	return &directory{t: t, url: "http://" + address + "/univention/provisioning", udm: udm, surreal: surreal,
		names: &atomic.Int64{}}, o
}

// start starts the control-center and waits as the registration job does: until an anonymous POST
// without a body is answered 401.
func (d *directory) start() {
	d.t.Helper()
	if err := d.ControlCenter.Start(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	rigtest.Await(d.t, 20*time.Second, "the Provisioning API answers", func() bool {
		resp, err := http.Post(d.url+"/v1/subscriptions", "", nil)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusUnauthorized
	})
}

// in returns the same control-center for a subtest.
func (d *directory) in(t *testing.T) *directory {
	c := *d
	c.t = t
	return &c
}

// unique returns a text that no other test uses.
func (d *directory) unique(stem string) string { return fmt.Sprintf("%s-%d", stem, d.names.Add(1)) }

// reply is an answer of the Provisioning API.
type reply struct {
	status int
	header http.Header
	text   string
	line   string // the status with its phrase
}

// directoryHTTP follows no redirect and keeps enough connections for all tests.
var directoryHTTP = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// try sends a request as name:password, empty for nobody. A body is text or is sent as JSON.
func (d *directory) try(as, method, path string, body any, header ...string) (reply, error) {
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			d.t.Error(err)
		}
		in = strings.NewReader(string(raw))
	}
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, in)
	if err != nil {
		return reply{}, err
	}
	if name, password, ok := strings.Cut(as, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := directoryHTTP.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(text), resp.Status}, err
}

// ask is try of a request that has to be answered.
func (d *directory) ask(as, method, path string, body any, header ...string) reply {
	d.t.Helper()
	r, err := d.try(as, method, path, body, header...)
	if err != nil {
		d.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// want fails unless the answer has that status and is JSON.
func (d *directory) want(r reply, status int) reply {
	d.t.Helper()
	if r.status != status {
		d.t.Fatalf("answered %d, want %d: %.1000s", r.status, status, r.text)
	}
	if kind := r.header.Get("Content-Type"); kind != "application/json" || !json.Valid([]byte(r.text)) {
		d.t.Errorf("%d is %s: %.300s", status, kind, r.text)
	}
	if r.header.Get("X-Request-ID") == "" {
		d.t.Errorf("%d without X-Request-ID", status)
	}
	return r
}

// null fails unless the answer has that status and the body null.
func (d *directory) null(r reply, status int) reply {
	d.t.Helper()
	if d.want(r, status).text != "null" {
		d.t.Errorf("%d with %.300s instead of null", status, r.text)
	}
	return r
}

// pair is a realm and a topic.
type pair = client.RealmTopic

// consumer is a subscription of a test with its password.
type consumer struct {
	*directory
	name  string
	realm string // in which nobody else publishes, unless the test says so
}

// draft returns what creates a subscription.
func draft(name, password string, prefill bool, topics ...pair) map[string]any {
	if topics == nil {
		topics = []pair{}
	}
	return map[string]any{"name": name, "password": password, "request_prefill": prefill, "realms_topics": topics}
}

// subscribe creates a subscription to topics of a realm.
func (d *directory) subscribe(realm string, prefill bool, topics ...string) *consumer {
	d.t.Helper()
	c := &consumer{directory: d, name: d.unique("sub"), realm: realm}
	var list []pair
	for _, t := range topics {
		list = append(list, pair{Realm: realm, Topic: t})
	}
	d.null(d.ask(directoryAdmin, "POST", "/v1/subscriptions", draft(c.name, c.password(), prefill, list...)), 201)
	return c
}

// fresh subscribes to the topic users/user of a realm of its own.
func (d *directory) fresh() *consumer {
	d.t.Helper()
	return d.subscribe(d.unique("realm"), false, "users/user")
}

func (c *consumer) password() string { return "of: " + c.name }

func (c *consumer) as() string { return c.name + ":" + c.password() }

func (c *consumer) path(rest string) string { return "/v1/subscriptions/" + c.name + rest }

// own sends a request of the consumer below its path.
func (c *consumer) own(method, rest string, body any) reply {
	c.t.Helper()
	return c.ask(c.as(), method, c.path(rest), body)
}

// status returns how far the prefill is.
func (c *consumer) status() string {
	c.t.Helper()
	var s client.Subscription
	c.decode(c.want(c.own("GET", "", nil), 200), &s)
	return s.Status
}

func (d *directory) decode(r reply, v any) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(r.text), v); err != nil {
		d.t.Fatalf("%v: %.500s", err, r.text)
	}
}

// message returns what publishes a change of a user; old and fresh are JSON texts.
func message(realm, topic, old, fresh string) string {
	return fmt.Sprintf(`{"publisher_name":"udm-listener","ts":"2026-01-01T10:00:00","realm":%q,"topic":%q,"body":{"old":%s,"new":%s}}`,
		realm, topic, old, fresh)
}

// object returns a user as JSON text.
func object(text string) string {
	return fmt.Sprintf(`{"objectType":"users/user","dn":"uid=%s,dc=example","id":%q}`, text, text)
}

// publish publishes users that are new, one message each, in the topic users/user.
func (d *directory) publish(realm string, texts ...string) {
	d.t.Helper()
	for _, text := range texts {
		d.null(d.ask(directoryPublisher, "POST", "/v1/messages", message(realm, "users/user", "{}", object(text))), 202)
	}
}

// next asks for the next message; nil is null. query is "?…" or empty.
func (c *consumer) next(query string) *client.DirectoryEvent {
	c.t.Helper()
	r := c.want(c.own("GET", "/messages/next"+query, nil), 200)
	var e *client.DirectoryEvent
	c.decode(r, &e)
	return e
}

// expect asks for the next message, which has to be this object with this number.
func (c *consumer) expect(text string, number uint64) *client.DirectoryEvent {
	c.t.Helper()
	e := c.next("?timeout=20")
	if e == nil || e.Sequence != number || string(e.Body.New) != object(text) {
		c.t.Fatalf("delivered %+v; want %s with number %d", e, text, number)
	}
	return e
}

// none asks for the next message, of which there has to be none for that reason.
func (c *consumer) none(timeout, reason string) {
	c.t.Helper()
	r := c.null(c.own("GET", "/messages/next?timeout="+timeout, nil), 200)
	if got := r.header.Get("X-Queue-Reason"); got != reason {
		c.t.Errorf("null because of %q, want %q", got, reason)
	}
}

// acknowledge returns the answer to an acknowledgement.
func (c *consumer) acknowledge(number uint64) reply {
	c.t.Helper()
	return c.own("PATCH", fmt.Sprintf("/messages/%d/status", number), `{"status":"ok"}`)
}

// handle expects objects from that number on and acknowledges each.
func (c *consumer) handle(number uint64, texts ...string) {
	c.t.Helper()
	for i, text := range texts {
		c.expect(text, number+uint64(i))
		c.null(c.acknowledge(number+uint64(i)), 200)
	}
}

// client returns a client of the Provisioning API as name:password.
func (d *directory) client(as string) *client.Directory {
	name, password, _ := strings.Cut(as, ":")
	return &client.Directory{Base: d.url + "/", Username: name, Password: secret.New(password)}
}

// awaitStatus waits until the prefill is that far.
func (c *consumer) awaitStatus(want string) {
	c.t.Helper()
	rigtest.Await(c.t, 30*time.Second, c.name+" is "+want, func() bool { return c.status() == want })
}

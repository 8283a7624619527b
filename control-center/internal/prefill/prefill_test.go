package prefill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/control-center/internal/subscription"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// pages is a source with pages of two objects, of which some calls fail.
type pages struct {
	topics []string
	count  int
	fails  func(call int) bool
	calls  int
}

func (p *pages) Topics(context.Context) ([]string, error) { return p.topics, nil }

func (p *pages) Objects(_ context.Context, topic, after string) (objects []Object, next string, err error) {
	if p.calls++; p.fails != nil && p.fails(p.calls) {
		return nil, "", errors.New("the source is away")
	}
	from, _ := strconv.Atoi(after)
	for i := from; i < min(from+2, p.count); i++ {
		objects = append(objects, Object{ID: fmt.Sprint(topic, i), JSON: json.RawMessage(fmt.Sprintf(`{"objectType":%q,"n":%d}`, topic, i))})
	}
	if from+2 < p.count {
		next = strconv.Itoa(from + 2)
	}
	return objects, next, nil
}

// rig runs prefills over a store in memory until the test ends.
func rig(t *testing.T, db store.DB, attempts int, sources map[string]Source) *subscription.Subscriptions {
	t.Helper()
	hub, log := feed.NewHub(db), slog.New(slog.DiscardHandler)
	s := &subscription.Subscriptions{DB: hub, Changes: &change.Committer{DB: hub}, Hasher: user.NewHasher(user.Cost{Memory: 8, Time: 1}),
		Now: time.Now, Log: log}
	p := &Prefill{Subscriptions: s, Sources: sources, Attempts: attempts, Now: time.Now, Log: log}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return s
}

func memory() store.DB {
	return memstore.New(store.Schema{Service: "control_center", Kinds: append(feed.Kinds(), subscription.Kinds()...)})
}

func subscribe(t *testing.T, s *subscription.Subscriptions, name, realm string, topics ...string) {
	t.Helper()
	d := subscription.Draft{Name: name, Password: "p", RequestPrefill: true}
	for _, topic := range topics {
		d.Topics = append(d.Topics, subscription.Topic{Realm: realm, Topic: topic})
	}
	if _, err := s.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// delivered pops all that waits and returns the objects.
func delivered(t *testing.T, s *subscription.Subscriptions, name string) (objects []string) {
	t.Helper()
	for {
		d, _, err := s.Next(t.Context(), name, time.Minute, true)
		if err != nil {
			t.Fatal(err)
		}
		if d == nil {
			return objects
		}
		if d.Publisher != "udm-pre-fill" || d.Sequence != uint64(len(objects)+1) {
			t.Errorf("%+v", d)
		}
		var b struct {
			Old map[string]any
			New struct {
				ObjectType string
				N          int
			}
		}
		if err := json.Unmarshal(d.Body, &b); err != nil || len(b.Old) > 0 {
			t.Fatal(string(d.Body), err)
		}
		objects = append(objects, fmt.Sprint(b.New.ObjectType, " ", b.New.N))
	}
}

// TestPrefill_deliversTopicsInTheOrderAskedFor: each topic once, patterns by name, and a realm
// without a source as an empty one.
func TestPrefill_deliversTopicsInTheOrderAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := rig(t, memory(), 5, map[string]Source{"udm": &pages{topics: []string{"users/user", "groups/group", "users/contact"},
			count: 3}})
		subscribe(t, s, "a", "udm", "users/user", "users/.*", "groups/group", "unknown")
		subscribe(t, s, "b", "nowhere", "x")
		got := strings.Join(delivered(t, s, "a"), ", ")
		if want := "users/user 0, users/user 1, users/user 2, users/contact 0, users/contact 1, users/contact 2, groups/group 0, " +
			"groups/group 1, groups/group 2"; got != want {
			t.Errorf("delivered %s\nwant %s", got, want)
		}
		if v, err := s.Get(t.Context(), "b"); err != nil || v.Status != subscription.Done {
			t.Error(v.Status, err)
		}
	})
}

// TestPrefill_oneThatFailsDelaysNobody: a job whose source is away fails after its attempts with
// growing pauses, others are done at once, and a restart gets all of it.
func TestPrefill_oneThatFailsDelaysNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := true
		bad := &pages{topics: []string{"x"}, count: 1, fails: func(int) bool { return away }}
		s := rig(t, memory(), 4, map[string]Source{"bad": bad, "good": &pages{topics: []string{"x"}, count: 1}})
		begun := time.Now()
		subscribe(t, s, "bad", "bad", "x")
		for i := range 6 {
			subscribe(t, s, fmt.Sprint("good", i), "good", "x")
		}
		synctest.Wait()
		for i := range 6 {
			if v, _ := s.Get(t.Context(), fmt.Sprint("good", i)); v.Status != subscription.Done {
				t.Errorf("good%d is %s", i, v.Status)
			}
		}
		<-time.After(30 * time.Second)
		if v, _ := s.Get(t.Context(), "bad"); v.Status != subscription.Failed || bad.calls != 4 ||
			v.Queue.Updated.Sub(begun) != 7*time.Second {
			t.Errorf("%s after %d calls and %v", v.Status, bad.calls, v.Queue.Updated.Sub(begun))
		}
		away = false
		if err := s.RestartPrefill(t.Context(), "bad"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if v, _ := s.Get(t.Context(), "bad"); v.Status != subscription.Done {
			t.Error(v.Status)
		}
	})
}

// TestPrefill_goesOnWhereItWas: neither an error in the middle nor a restart reads what was read.
func TestPrefill_goesOnWhereItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory()
		source := &pages{topics: []string{"x"}, count: 9, fails: func(call int) bool { return call == 3 || call == 4 }}
		s := rig(t, db, 3, map[string]Source{"udm": source})
		subscribe(t, s, "a", "udm", "x")
		<-time.After(500 * time.Millisecond) // it pauses after call 3
		if v, _ := s.Get(t.Context(), "a"); v.Queue.Prefill.After != "4" || v.Queue.PrefillEnd != 4 {
			t.Fatalf("%+v", v.Queue)
		}
		<-time.After(time.Minute)
		if got := len(delivered(t, s, "a")); got != 9 || source.calls != 7 {
			t.Errorf("%d messages after %d calls", got, source.calls)
		}
	})
}

// TestUDM_readsAsTheRESTAPIAnswers: modules, types, pages, single objects; a deleted object is
// skipped.
func TestUDM_readsAsTheRESTAPIAnswers(t *testing.T) {
	t.Parallel()
	var stub *httptest.Server
	stub = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		if name != "Administrator" || password != "univention" || r.Header.Get("Accept") != "application/json" {
			http.Error(w, `{"error":{"code":401}}`, http.StatusUnauthorized)
			return
		}
		base := stub.URL + "/univention/udm"
		dn, _ := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/univention/udm/users/user/"))
		switch {
		case r.URL.Path == "/univention/udm/":
			fmt.Fprintf(w, `{"_links":{"udm:object-modules":[{"href":"%s/users/","name":"users"}]}}`, base)
		case r.URL.Path == "/univention/udm/users/":
			fmt.Fprintf(w, `{"_links":{"udm:object-types":[{"href":"%s/users/user/","name":"users/user"},{"href":"x","name":"users/contact"}]}}`, base)
		case r.URL.Path == "/univention/udm/users/user/":
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			n := map[int]int{1: udmPage, 2: 3}[page]
			var dns []string
			for i := range n {
				dns = append(dns, fmt.Sprintf(`{"dn":"uid=u%d-%d,cn=users,dc=example"}`, page, i))
			}
			fmt.Fprintf(w, `{"_embedded":{"udm:object":[%s]}}`, strings.Join(dns, ","))
		case dn == "uid=u2-1,cn=users,dc=example":
			http.NotFound(w, r)
		default:
			fmt.Fprintf(w, `{"_links":{"self":[]},"dn":%q,"objectType":"users/user","id":"x","properties":{"uidNumber":18446744073709551617}}`, dn)
		}
	}))
	defer stub.Close()
	u := UDM{URL: stub.URL + "/univention/udm", Username: "Administrator", Password: "univention", Client: stub.Client()}
	topics, err := u.Topics(t.Context())
	if err != nil || strings.Join(topics, " ") != "users/contact users/user" {
		t.Fatal(topics, err)
	}
	first, next, err := u.Objects(t.Context(), "users/user", "")
	if err != nil || len(first) != udmPage || !strings.HasPrefix(next, "2 ") || first[0].ID != "uid=u1-0,cn=users,dc=example" {
		t.Fatal(len(first), next, err)
	}
	second, next, err := u.Objects(t.Context(), "users/user", next)
	want := `{"dn":"uid=u2-0,cn=users,dc=example","id":"x","objectType":"users/user","properties":{"uidNumber":18446744073709551617}}`
	if err != nil || len(second) != 2 || next != "" || string(second[0].JSON) != want {
		t.Fatal(len(second), next, err, string(second[0].JSON))
	}
	u.Password = "wrong"
	if _, err := u.Topics(t.Context()); err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "wrong") {
		t.Error(err)
	}
}

// TestPrefill_fromOutsideIsLeftAlone: whoever sets the status fills the lane; no job of ours says
// that it is done.
func TestPrefill_fromOutsideIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := rig(t, memory(), 3, map[string]Source{"udm": &pages{topics: []string{"x"}, count: 3}})
		subscribe(t, s, "a", "udm", "x")
		synctest.Wait()
		for _, status := range []subscription.Status{subscription.Pending, subscription.Running, subscription.Failed} {
			if err := s.SetStatus(t.Context(), "a", status); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Minute)
			if v, err := s.Get(t.Context(), "a"); err != nil || v.Status != status {
				t.Errorf("set to %s it is %s, %v", status, v.Status, err)
			}
		}
		if err := s.RestartPrefill(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if v, err := s.Get(t.Context(), "a"); err != nil || v.Status != subscription.Done || v.Queue.PrefillEnd-v.Queue.PrefillNext != 3 {
			t.Errorf("%+v, %v", v.Queue, err)
		}
	})
}

// large is a source with one page of objects that no commit holds together.
type large struct {
	size int
}

func (l *large) Topics(context.Context) ([]string, error) { return []string{"x"}, nil }

func (l *large) Objects(context.Context, string, string) (objects []Object, next string, err error) {
	for i := range 5 {
		text := fmt.Sprintf(`{"objectType":"x","n":%d,"photo":%q}`, i, strings.Repeat("p", l.size))
		objects = append(objects, Object{ID: fmt.Sprint(i), JSON: json.RawMessage(text)})
	}
	return objects, "", nil
}

// TestPrefill_largeObjectsFillSeveralCommits: a page of more than a commit holds does not keep a
// prefill from its end, and each object comes once.
func TestPrefill_largeObjectsFillSeveralCommits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := rig(t, memory(), 3, map[string]Source{"udm": &large{size: 5 << 20}})
		subscribe(t, s, "a", "udm", "x")
		if got := strings.Join(delivered(t, s, "a"), ", "); got != "x 0, x 1, x 2, x 3, x 4" {
			t.Error(got)
		}
	})
}

// some is a source with one page of given objects.
type some []Object

func (s some) Topics(context.Context) ([]string, error) { return []string{"x"}, nil }

func (s some) Objects(context.Context, string, string) (objects []Object, next string, err error) {
	return s, "", nil
}

// TestPrefill_anObjectThatIsTooLargeKeepsNobodyFromTheOthers: it stopped the prefill, and with it
// everything for its subscription.
func TestPrefill_anObjectThatIsTooLargeKeepsNobodyFromTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		object := func(n, size int) json.RawMessage {
			return json.RawMessage(fmt.Sprintf(`{"objectType":"x","n":%d,"photo":%q}`, n, strings.Repeat("p", size)))
		}
		s := rig(t, memory(), 3, map[string]Source{"udm": some{{ID: "a", JSON: object(0, 1)},
			{ID: "b", JSON: object(1, directory.MaxMessage)}, {ID: "c", Unfit: "nobody can read it"}, {ID: "d", JSON: object(3, 1)}}})
		subscribe(t, s, "a", "udm", "x")
		var got []string
		for {
			d, _, err := s.Next(t.Context(), "a", time.Minute, true)
			if err != nil {
				t.Fatal(err)
			}
			if d == nil {
				break
			}
			got = append(got, fmt.Sprint(d.Sequence, d.Object))
		}
		if strings.Join(got, " ") != "1a 4d" {
			t.Errorf("delivered is %v", got)
		}
		letters, _, err := s.DeadLetters(t.Context(), "a", 0, 10)
		if err != nil || len(letters) != 2 || letters[0].Sequence != 2 || !strings.Contains(letters[0].Reason, "bytes") ||
			letters[1].Reason != "nobody can read it" || !strings.Contains(letters[1].Entry, `"dn":"c"`) {
			t.Errorf("dead letters %+v, %v", letters, err)
		}
	})
}

// TestUDM_whatIsDeletedBetweenTwoPagesHidesNoOtherObject: those behind it move to a page that was
// read already, and were never delivered.
func TestUDM_whatIsDeletedBetweenTwoPagesHidesNoOtherObject(t *testing.T) {
	t.Parallel()
	for _, deleted := range []int{3, udmPage - 1, udmPage + 50} { // of those in front, after each page
		var all []string
		for i := range 5*udmPage + 7 {
			all = append(all, fmt.Sprintf("uid=u%d", i))
		}
		stub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if dn := strings.TrimPrefix(r.URL.Path, "/udm/users/user/"); dn != "" {
				fmt.Fprintf(w, `{"dn":%q,"objectType":"users/user"}`, dn)
				return
			}
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			var names []string
			for i := (page - 1) * udmPage; i < min(page*udmPage, len(all)); i++ {
				names = append(names, fmt.Sprintf(`{"dn":%q}`, all[i]))
			}
			fmt.Fprintf(w, `{"_embedded":{"udm:object":[%s]}}`, strings.Join(names, ","))
		}))
		u := UDM{URL: stub.URL + "/udm", Client: stub.Client()}
		read := map[string]bool{}
		for page, after := 1, ""; page == 1 || after != ""; page++ {
			objects, next, err := u.Objects(t.Context(), "users/user", after)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range objects {
				read[o.ID] = true
			}
			if after = next; page < 3 { // these were read, but for the last of them
				gone := min(deleted, page*udmPage-1)
				all = append([]string{}, all[gone:]...)
			}
		}
		stub.Close()
		for _, dn := range all {
			if !read[dn] {
				t.Errorf("with %d deleted %s is missing", deleted, dn)
			}
		}
	}
}

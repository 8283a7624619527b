package prefill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/id"
)

// Limits of a conversation with a UDM REST API.
const (
	udmPage    = 100              // objects that one answer lists
	udmTimeout = 30 * time.Second // of one request
	udmAnswer  = 16 << 20         // bytes of one answer
)

// UDM is the source of a realm whose directory has a UDM REST API. It reads the list of a topic's
// objects page by page, and each object by itself, for the list leaves out some of its members.
type UDM struct {
	URL      string // such as https://dc.example/univention/udm
	Username string
	Password string
	Client   *http.Client
}

// links is the part of every answer that names other ones (HAL).
type links map[string][]struct {
	Href string `json:"href"`
	Name string `json:"name"`
}

// Topics returns the names of all object types of all modules: "users/user".
func (u UDM) Topics(ctx context.Context) (topics []string, err error) {
	var root struct {
		Links links `json:"_links"`
	}
	if err := u.get(ctx, u.URL+"/", &root); err != nil {
		return nil, err
	}
	for _, module := range root.Links["udm:object-modules"] {
		var types struct {
			Links links `json:"_links"`
		}
		if err := u.get(ctx, module.Href, &types); err != nil {
			return nil, err
		}
		for _, t := range types.Links["udm:object-types"] {
			topics = append(topics, t.Name)
		}
	}
	slices.Sort(topics)
	return slices.Compact(topics), nil
}

// Objects returns the objects of the next page of a topic. The place is the number of that page and
// what the page before it had: an object that is deleted there moves those behind it to the front,
// and whoever only counts pages misses as many of them.
func (u UDM) Objects(ctx context.Context, topic, after string) (objects []Object, next string, err error) {
	page, had, err := placeOf(after)
	if err != nil {
		return nil, "", err
	}
	names, err := u.names(ctx, topic, page)
	if err != nil {
		return nil, "", err
	}
	moved, err := u.moved(ctx, topic, page, had)
	if err != nil {
		return nil, "", err
	}
	seen := map[string]bool{}
	for _, dn := range append(moved, names...) {
		if seen[dn] {
			continue
		}
		seen[dn] = true
		o, err := u.object(ctx, topic, dn)
		if gone := (*udmError)(nil); errors.As(err, &gone) && gone.Status == http.StatusNotFound {
			continue // deleted since the list was read: its event says so
		}
		if err != nil {
			return nil, "", err
		}
		objects = append(objects, o)
	}
	if len(names) == udmPage {
		next = strconv.Itoa(page + 1)
		for _, dn := range names {
			next += " " + mark(dn)
		}
	}
	return objects, next, nil
}

// mark is by what a place remembers a name. Two names with one mark cost an object that moved at
// that moment, which is one in 2^32 pairs.
func mark(dn string) string { return id.Digest(dn)[:8] }

// placeOf returns the page that a place names, and the marks of the page before it.
func placeOf(after string) (page int, had map[string]bool, err error) {
	if after == "" {
		return 1, nil, nil
	}
	words := strings.Fields(after)
	if page, err = strconv.Atoi(words[0]); err != nil {
		return 0, nil, fmt.Errorf("a place in a list of the UDM REST API is no number: %w", err)
	}
	had = map[string]bool{}
	for _, m := range words[1:] {
		had[m] = true
	}
	return page, had, nil
}

// moved returns the names that stand before a page by now and were not read: those behind the last
// one that was. had are the marks of what was read last.
func (u UDM) moved(ctx context.Context, topic string, page int, had map[string]bool) (unread []string, err error) {
	for back := page - 1; back > 0 && len(had) > 0; back-- {
		names, err := u.names(ctx, topic, back)
		if err != nil {
			return nil, err
		}
		last := len(names) - 1
		for last >= 0 && !had[mark(names[last])] {
			last--
		}
		unread = append(names[last+1:], unread...)
		if last >= 0 {
			break
		}
	}
	return unread, nil
}

// names returns the names of the objects that one page of a topic lists.
func (u UDM) names(ctx context.Context, topic string, page int) (names []string, err error) {
	query := url.Values{"page": {strconv.Itoa(page)}, "limit": {strconv.Itoa(udmPage)}, "properties": {"dn"}}
	var list struct {
		Embedded struct {
			Objects []struct {
				DN string `json:"dn"`
			} `json:"udm:object"`
		} `json:"_embedded"`
	}
	if err := u.get(ctx, u.URL+"/"+topic+"/?"+query.Encode(), &list); err != nil {
		return nil, err
	}
	for _, o := range list.Embedded.Objects {
		names = append(names, o.DN)
	}
	return names, nil
}

// object reads one object. One that is too large to be read is Unfit.
func (u UDM) object(ctx context.Context, topic, dn string) (Object, error) {
	var text json.RawMessage
	err := u.get(ctx, u.URL+"/"+topic+"/"+url.PathEscape(dn), &text)
	if errors.Is(err, errLong) {
		return Object{ID: dn, Unfit: err.Error()}, nil
	}
	if err == nil {
		text, err = withoutLinks(text)
	}
	return Object{ID: dn, JSON: text}, err
}

// errLong is the fault of an answer that is longer than udmAnswer.
var errLong = errors.New("an answer of the UDM REST API is too long")

// udmError is an answer of a UDM REST API that is no success.
type udmError struct {
	Status int
	path   string
}

// Error says which path was answered how. The body is left out: it may repeat what was sent.
func (e *udmError) Error() string {
	return fmt.Sprintf("the UDM REST API answered %d at %s", e.Status, e.path)
}

// get reads an answer into v.
func (u UDM) get(ctx context.Context, address string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, udmTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(address, u.URL+"/") {
		return fmt.Errorf("the UDM REST API names an address that is not below its own: %s", r.URL.Redacted())
	}
	r.Header.Set("Accept", "application/json")
	r.SetBasicAuth(u.Username, u.Password)
	resp, err := u.Client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &udmError{Status: resp.StatusCode, path: r.URL.Path}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, udmAnswer+1))
	if err == nil && len(text) > udmAnswer {
		err = fmt.Errorf("%w: at %s it has more than %d bytes", errLong, r.URL.Path, udmAnswer)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// withoutLinks returns the object of an answer without its links, which are about the API. Numbers
// stay as they are.
func withoutLinks(text json.RawMessage) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	delete(members, "_links")
	delete(members, "_embedded")
	return json.Marshal(members)
}

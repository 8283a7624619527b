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

// Objects returns one page of the objects of a topic; the place is the number of the next page.
func (u UDM) Objects(ctx context.Context, topic, after string) (objects []Object, next string, err error) {
	page := 1
	if after != "" {
		if page, err = strconv.Atoi(after); err != nil {
			return nil, "", fmt.Errorf("a place in a list of the UDM REST API is no number: %w", err)
		}
	}
	query := url.Values{"page": {strconv.Itoa(page)}, "limit": {strconv.Itoa(udmPage)}, "properties": {"dn"}}
	var list struct {
		Embedded struct {
			Objects []struct {
				DN string `json:"dn"`
			} `json:"udm:object"`
		} `json:"_embedded"`
	}
	if err := u.get(ctx, u.URL+"/"+topic+"/?"+query.Encode(), &list); err != nil {
		return nil, "", err
	}
	for _, o := range list.Embedded.Objects {
		var text json.RawMessage
		err := u.get(ctx, u.URL+"/"+topic+"/"+url.PathEscape(o.DN), &text)
		if gone := (*udmError)(nil); errors.As(err, &gone) && gone.Status == http.StatusNotFound {
			continue // deleted since the list was read: its event says so
		}
		if err != nil {
			return nil, "", err
		}
		text, err = withoutLinks(text)
		if err != nil {
			return nil, "", err
		}
		objects = append(objects, Object{ID: o.DN, JSON: text})
	}
	if len(list.Embedded.Objects) == udmPage {
		next = strconv.Itoa(page + 1)
	}
	return objects, next, nil
}

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
		err = fmt.Errorf("an answer of the UDM REST API at %s has more than %d bytes", r.URL.Path, udmAnswer)
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

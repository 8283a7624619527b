package run

import (
	"context"
	"strings"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// ServerState says how much is known of a server of the inventory.
type ServerState string

// The states of servers.
const (
	ServerUp       ServerState = "up"       // its task waited until it answered
	ServerAccepted ServerState = "accepted" // its provider has taken the order; nobody waited
	ServerListed   ServerState = "listed"   // in the inventory without a task of now: by a restore, a reconcile or a rollback
)

const serverKind = "server"

// StandingServer is a server of the inventory. What is not in its Resource stands in its index
// keys: a checkpoint sums the bodies of resources, and a restore rebuilds them from effects, which
// do not have it.
type StandingServer struct {
	Resource
	Infra string // empty when it was made by a batch, or is listed
	State ServerState
	Task  string // id of the task that made it; empty when it is listed
}

// resourceIndex returns the index keys of a resource: those of a server, none for others.
func resourceIndex(r *Resource, origin dag.ResourceOrigin) []store.IndexKey {
	if r.Kind != serverKind {
		return nil
	}
	state := ServerListed
	if origin.Waited {
		state = ServerUp
	} else if origin.Task != "" {
		state = ServerAccepted
	}
	keys := append(make([]store.IndexKey, 0, 4), store.IndexKey{Name: "provider", Value: r.Provider},
		store.IndexKey{Name: "state", Value: string(state)})
	if origin.Infra != "" {
		keys = append(keys, store.IndexKey{Name: "infra", Value: origin.Infra})
	}
	if origin.Task != "" {
		keys = append(keys, store.IndexKey{Name: "task", Value: origin.Task})
	}
	return keys
}

// serverOf returns the server that a document holds.
func serverOf(d store.Doc) (StandingServer, error) {
	r, err := Resources().Decode(d)
	s := StandingServer{Resource: r, State: ServerListed}
	for _, key := range d.Index {
		switch key.Name {
		case "infra":
			s.Infra = key.Value
		case "state":
			s.State = ServerState(key.Value)
		case "task":
			s.Task = key.Value
		}
	}
	return s, err
}

// ServerAt returns the server of a provider in the inventory, and whether there is one.
func ServerAt(ctx context.Context, db store.DB, provider, name string) (StandingServer, bool, error) {
	d, err := db.Get(ctx, Resources().Key(provider+"/"+serverKind+"/"+name))
	if err != nil || !d.Exists() {
		return StandingServer{}, false, err
	}
	s, err := serverOf(d)
	return s, true, err
}

// GetServer returns the server of that name, whichever provider has it, also one that has left the
// configuration: names are unique in the inventory. It costs two reads for each provider that has
// servers. It returns a fault of kind NotFound ("server.unknown") when none has it.
func GetServer(ctx context.Context, db store.DB, name string) (StandingServer, error) {
	for q := (store.Query{Kind: resourceKind, Index: "provider", Limit: 1}); ; {
		page, err := db.List(ctx, q)
		if err != nil {
			return StandingServer{}, err
		}
		if len(page.Docs) == 0 {
			break
		}
		p, _, _ := strings.Cut(page.Docs[0].Key.ID, "/")
		if s, known, err := ServerAt(ctx, db, p, name); known || err != nil {
			return s, err
		}
		q.After = store.Cursor{Value: p, ID: p + "0"} // "0" is the character behind "/": behind all servers of p
	}
	return StandingServer{}, fault.New(fault.NotFound, "server.unknown",
		"There is no server of that name; those there are: GET /inventory/servers, or orchestrator server list.")
}

// ServerFilter says which servers are asked for; an empty member is any.
type ServerFilter struct {
	Infra, Provider string
	State           ServerState
}

// keys returns the index keys that the servers asked for have.
func (f ServerFilter) keys() (all []store.IndexKey) {
	for _, k := range []store.IndexKey{{Name: "infra", Value: f.Infra}, {Name: "provider", Value: f.Provider},
		{Name: "state", Value: string(f.State)}} {
		if k.Value != "" {
			all = append(all, k)
		}
	}
	return all
}

// has says whether a server has what is asked for.
func (f ServerFilter) has(s *StandingServer) bool {
	return (f.Infra == "" || f.Infra == s.Infra) && (f.Provider == "" || f.Provider == s.Provider) && (f.State == "" || f.State == s.State)
}

// A page of several filters looks at so many servers and no more; it ends behind them, full or not.
const (
	maxLooked = 2000
	lookedAt  = 500 // at once
)

// ListServers returns a page of the servers by provider and name. With one filter or none it costs
// its rows; what has several is looked for among the servers of the filter that fewest have.
func ListServers(ctx context.Context, db store.DB, f ServerFilter, p store.Place) (w store.Window[StandingServer], err error) {
	switch err := p.Check(); {
	case err != nil:
		return w, err
	case p.Before != "":
		return w, fault.New(fault.Malformed, "paging.cursor", "servers are listed by name: before= has no use, after= goes on")
	case p.Offset > store.MaxSkip && p.After == "":
		return w, tooDeep(p.Offset)
	}
	keys := f.keys()
	q, total, err := narrowest(ctx, db, keys)
	if err != nil {
		return w, err
	}
	if p.After != "" {
		provider, _, _ := strings.Cut(p.After, "/")
		if q.After = (store.Cursor{Value: provider, ID: p.After}); q.Exact {
			q.After.Value = q.Prefix
		}
		p.Offset = 0
	}
	skip := 0
	if q.Limit, q.Skip = p.Limit, p.Offset; len(keys) > 1 {
		q.Limit, q.Skip, skip = lookedAt, 0, p.Offset
	}
	more := true
	for looked := 0; more && len(w.Rows) < p.Limit && looked < maxLooked; {
		page, err := db.List(ctx, q)
		if err != nil {
			return w, err
		}
		more, q.After, q.Skip = page.More, page.Next, 0
		for i, d := range page.Docs {
			s, err := serverOf(d)
			looked++
			switch {
			case err != nil:
				return w, err
			case !f.has(&s):
				continue
			case skip > 0:
				skip--
				continue
			}
			w.Rows = append(w.Rows, store.Row[StandingServer]{Value: s, Rev: d.Rev})
			if len(w.Rows) == p.Limit {
				more, q.After.ID = more || i < len(page.Docs)-1, d.Key.ID
				break
			}
		}
	}
	if skip > 0 && more { // the rows behind the last one that was looked at are not those of the offset
		return store.Window[StandingServer]{}, tooDeep(p.Offset)
	}
	if more {
		w.Next = q.After.ID
	}
	if w.Total = total; len(keys) > 1 {
		w.Total, w.Inexact = p.Offset-skip+len(w.Rows), more || p.After != ""
	}
	return w, nil
}

// tooDeep refuses an offset that is not reached by looking at as many rows as a request may.
func tooDeep(offset int) error {
	return fault.New(fault.Invalid, "paging.too_deep",
		"offset=%d is too deep inside this list: follow the Link of a page, which goes on with after=<id>", offset)
}

// narrowest returns the query for the servers with the one of the keys that fewest servers have,
// for all servers without a key, and how many these are.
func narrowest(ctx context.Context, db store.DB, keys []store.IndexKey) (store.Query, int, error) {
	asked := keys
	if len(keys) == 0 {
		for _, state := range []ServerState{ServerUp, ServerAccepted, ServerListed} {
			asked = append(asked, store.IndexKey{Name: "state", Value: string(state)})
		}
	}
	q := store.Query{Kind: resourceKind}
	for _, k := range asked {
		q.Counts = append(q.Counts, store.CounterKey{Kind: resourceKind, Index: k.Name, Value: k.Value})
	}
	page, err := db.List(ctx, q)
	if err != nil {
		return q, 0, err
	}
	if len(keys) == 0 {
		total := 0
		for _, c := range page.Counts {
			total += c.N
		}
		return store.Query{Kind: resourceKind, Index: "provider"}, total, nil
	}
	best := 0
	for i, c := range page.Counts {
		if c.N < page.Counts[best].N {
			best = i
		}
	}
	return store.Query{Kind: resourceKind, Index: keys[best].Name, Prefix: keys[best].Value, Exact: true}, page.Counts[best].N, nil
}

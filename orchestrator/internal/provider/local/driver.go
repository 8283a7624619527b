package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/ssh"
	"github.com/provisioning-platform/platform/shared/naming"
)

// Config is what a driver needs.
type Config struct {
	Dir     string   // absolute; one folder a server inside; one driver a folder
	Command []string // starts a server's process, with the server's folder as a further argument: {"/path/orchestrator", Verb}
	Log     *slog.Logger
}

// Driver is a provider.Driver whose servers are processes. Run keeps them alive.
type Driver struct {
	config Config

	mu    sync.Mutex        // guards both maps
	locks map[string]*entry // by server id
	names map[string]holder // by name
}

// entry is what memory holds of one server; everything in it can be read again from the folder.
type entry struct {
	mu      sync.Mutex // one act on a server at a time
	users   int        // guarded by Driver.mu
	process process
	failed  int       // starts in a row that did not work
	retry   time.Time // no start before
}

// Open takes over the servers below config.Dir. It starts nothing: Run does, and so does the first
// use of a server.
func Open(config Config) (*Driver, error) {
	if !filepath.IsAbs(config.Dir) || len(config.Command) == 0 {
		return nil, errors.New("local provider: an absolute folder and the command that serves a server are needed")
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("local provider: %w", err)
	}
	entries, err := os.ReadDir(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("local provider: %w", err)
	}
	for _, e := range entries { // what a killed orchestrator left half way
		if id, ok := strings.CutPrefix(e.Name(), destroyed); ok {
			end(folder(filepath.Join(config.Dir, id)), process{})
		} else if !strings.HasPrefix(e.Name(), unfinished) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(config.Dir, e.Name())); err != nil {
			return nil, fmt.Errorf("local provider: %w", err)
		}
	}
	d := &Driver{config: config, locks: map[string]*entry{}, names: map[string]holder{}}
	ids, err := d.ids()
	if err != nil {
		return nil, fmt.Errorf("local provider: %w", err)
	}
	for _, id := range ids {
		if who, ok, err := d.folder(id).identity(); ok && err == nil {
			d.names[who.Name] = holder{id: id}
		}
	}
	return d, nil
}

func (d *Driver) folder(id string) folder { return folder(filepath.Join(d.config.Dir, id)) }

// lock waits until nobody else acts on the server.
func (d *Driver) lock(id string) *entry {
	d.mu.Lock()
	e := d.locks[id]
	if e == nil {
		e = &entry{}
		d.locks[id] = e
	}
	e.users++
	d.mu.Unlock()
	e.mu.Lock()
	return e
}

// unlock forgets entries of servers that are gone and that nobody waits for.
func (d *Driver) unlock(id string, e *entry, gone bool) {
	e.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.users--; e.users == 0 && gone {
		delete(d.locks, id)
	}
}

// Create makes the folder, starts its process and waits until that listens, which takes
// milliseconds; with spec.Wait also until a command ran over SSH.
func (d *Driver) Create(ctx context.Context, spec provider.Spec) (provider.Server, error) {
	if spec.Tag == "" || spec.Name == "" {
		return provider.Server{}, provider.Errorf(dag.Permanent, "a server needs a tag and a name")
	}
	id := idOf(spec.Tag)
	e := d.lock(id)
	defer d.unlock(id, e, false)
	f := d.folder(id)
	who, ok, err := f.identity()
	want := serverIdentity{ID: id, Name: spec.Name, Plan: spec.Plan, Tag: spec.Tag, Zone: spec.Zone}
	switch {
	case err != nil:
		return provider.Server{}, failed("read server "+id, err)
	case ok && who != want:
		return provider.Server{}, provider.Errorf(dag.ConflictClass, "the tag already belongs to server %s with plan %q in zone %q",
			who.Name, who.Plan, who.Zone)
	case !ok:
		if err := ctx.Err(); err != nil {
			return provider.Server{}, err
		}
		if err := d.take(spec.Name, id); err != nil {
			return provider.Server{}, err
		}
		f, err = build(d.config.Dir, want)
		d.made(spec.Name, id, err == nil)
		if err != nil {
			return provider.Server{}, failed("make the folder of server "+spec.Name, err)
		}
	}
	p, err := d.ensure(ctx, f, want, e)
	if err == nil && spec.Wait {
		err = d.probe(ctx, f, p)
	}
	if err != nil {
		return provider.Server{}, provider.Begun(err)
	}
	return f.server(want, p), nil
}

// probe runs a command on the server.
func (d *Driver) probe(ctx context.Context, f folder, p process) error {
	conn, err := dial(ctx, f, p)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Run(ctx, provider.Command{Argv: []string{"true"}})
	return err
}

// Delete moves the folder away, ends the processes, removes what is left.
func (d *Driver) Delete(ctx context.Context, server provider.Server) error {
	id := server.ID
	if id == "" {
		id = idOf(server.Tag)
	}
	if !naming.Valid(id) {
		return provider.Errorf(dag.Permanent, "%q is no id of a local server", id)
	}
	e := d.lock(id)
	defer d.unlock(id, e, true)
	f := d.folder(id)
	gone := folder(filepath.Join(d.config.Dir, destroyed+id))
	who, ok, err := f.identity()
	if err != nil {
		return failed("read server "+id, err)
	}
	if ok && who.Tag != server.Tag {
		return provider.Errorf(dag.Permanent, "server %s carries another tag than ours and is not deleted", who.Name)
	}
	if ok {
		os.RemoveAll(string(gone)) // of an earlier server under this tag; if it stays, the rename says so
		if err := os.Rename(string(f), string(gone)); err != nil {
			return failed("destroy server "+who.Name, err)
		}
		d.free(who.Name, id)
	}
	// From here on also for a server whose destruction was begun and not ended.
	e.process = process{}
	p, err := gone.process()
	if err != nil {
		d.config.Log.Warn("a local server's process record is damaged; its processes are searched", "server", id, "error", err)
	}
	if _, err := os.Stat(string(gone)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !p.serves(gone) { // another process by now, or that of the folder which this one is a copy of
		p = process{}
	}
	if !end(f, p) {
		return provider.Errorf(dag.Transient, "processes of server %s do not end", id)
	}
	if err := os.RemoveAll(string(gone)); err != nil {
		return failed("destroy server "+id, err)
	}
	return nil
}

// Find looks for the folder that the tag leads to.
func (d *Driver) Find(ctx context.Context, tag string) (provider.Server, bool, error) {
	return d.read(idOf(tag))
}

func (d *Driver) read(id string) (provider.Server, bool, error) {
	f := d.folder(id)
	who, ok, err := f.identity()
	if err != nil || !ok {
		return provider.Server{}, false, wrapped("read server "+id, err)
	}
	p, err := f.process()
	return f.server(who, p), err == nil, wrapped("read server "+id, err)
}

// List reads all folders. One that cannot be read ends it: a list that leaves a server out says
// that it is gone.
func (d *Driver) List(ctx context.Context) ([]provider.Server, error) {
	ids, err := d.ids()
	if err != nil {
		return nil, failed("list servers", err)
	}
	var servers []provider.Server
	for _, id := range ids {
		s, ok, err := d.read(id)
		if err != nil {
			return nil, err
		}
		if ok {
			servers = append(servers, s)
		}
	}
	return servers, nil
}

func (d *Driver) ids() ([]string, error) {
	entries, err := os.ReadDir(d.config.Dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			ids = append(ids, e.Name())
		}
	}
	sort.Strings(ids)
	return ids, nil
}

// Reach returns the paths of a server's keys and configuration, and the port where it listens now;
// nil when id is none of a local server.
func (d *Driver) Reach(id string) map[string]string {
	if !naming.Valid(id) {
		return nil
	}
	return d.folder(id).reach()
}

// Connect opens an SSH connection, starting the server's process when it does not run.
func (d *Driver) Connect(ctx context.Context, server provider.Server) (provider.Connection, error) {
	id := server.ID
	e := d.lock(id)
	defer d.unlock(id, e, false)
	f := d.folder(id)
	who, ok, err := f.identity()
	if err != nil {
		return nil, failed("read server "+id, err)
	}
	if !ok {
		return nil, provider.Gone(server.Name)
	}
	p, err := d.ensure(ctx, f, who, e)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, f, p)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func dial(ctx context.Context, f folder, p process) (*ssh.Client, error) {
	key, err := os.ReadFile(f.at("ssh/client_key"))
	if err != nil {
		return nil, failed("read the key of server "+filepath.Base(string(f)), err)
	}
	host, err := os.ReadFile(f.at("ssh/host_key.pub"))
	if err != nil {
		return nil, failed("read the host key of server "+filepath.Base(string(f)), err)
	}
	return ssh.Dial(ctx, ssh.Target{Address: p.address(), User: user, Key: key, HostKey: string(host)})
}

// failed classifies a fault of the file system: space and descriptors come back, everything else
// needs a person.
func failed(what string, err error) error {
	class := dag.Transient
	if errors.Is(err, fs.ErrPermission) {
		class = dag.Permanent
	}
	return provider.Errorf(class, "the local provider could not %s: %v", what, provider.WithoutPath(err)).Because(err)
}

func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return failed(what, err)
}

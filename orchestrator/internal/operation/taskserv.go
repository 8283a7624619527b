package operation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"syscall"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/recipe"
)

// The facts of a task service's resource and step.
const (
	factVersion = "version"
	factDigest  = "digest"
	factServer  = "server"
)

// recipeDir is where the scripts of an installed task service are kept on its server, relative to
// the root: what uninstalls it is what came with it.
const recipeDir = "var/lib/provisioning/recipes"

// The exit statuses of a script after which trying again may help: it says so itself (EX_TEMPFAIL),
// or somebody ended it, as its server does when it stops and the kernel when there is no memory
// left.
var tryAgain = []int{75, signalled + int(syscall.SIGHUP), signalled + int(syscall.SIGINT), signalled + int(syscall.SIGKILL), signalled +
	int(syscall.SIGTERM)}

// signalled is what a shell adds to the number of the signal that ended a command.
const signalled = 128

// shownOutput is how much of a script's output a result carries (bytes).
const shownOutput = 1 << 10

// taskService is a task service on a server, at hand.
type taskService struct {
	recipe recipe.Recipe
	server dag.Resource
	conn   provider.Connection
	a      dag.Attempt
}

func (s *taskService) dir() string  { return path.Join(recipeDir, s.recipe.Name) }
func (s *taskService) name() string { return s.server.Name + "/" + s.recipe.Name }

// errNoServer says that the server of a step is in no inventory.
var errNoServer = errors.New("no such server")

// lost says whether the server of a step does not exist: in no inventory, or not at its provider
// any more. What was on it is gone with it.
func lost(err error) bool { return errors.Is(err, errNoServer) || errors.Is(err, provider.ErrGone) }

// connect opens the server of a step. The caller closes service.conn.
func (x *Executor) connect(ctx context.Context, a *dag.Attempt) (*taskService, error) {
	r, err := x.Recipes.Get(a.Step.Params[paramInfra], a.Step.Params[paramService])
	if err != nil {
		return nil, err
	}
	there, ok, err := x.server(ctx, a.Step.Target)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, provider.Errorf(dag.Permanent, "server %s does not exist: create it before %s goes there", a.Step.Target,
			r.Name).Because(errNoServer)
	}
	d, err := x.driver(there.Provider)
	if err != nil {
		return nil, err
	}
	conn, err := d.Connect(ctx, handle(there))
	if err != nil {
		return nil, err
	}
	return &taskService{recipe: r, server: there, conn: conn, a: *a}, nil
}

// install brings the task service about: upload, install, read back what it wrote, check.
func (x *Executor) install(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	s, err := x.connect(ctx, a)
	if err != nil {
		return dag.Result{}, err
	}
	defer s.conn.Close()
	before, was, err := x.Inventory.Resource(ctx, s.server.Provider, kindTaskserv, s.name())
	if err != nil {
		return dag.Result{}, err
	}
	created := "true"
	if was && before.Facts[factTag] != a.Tag {
		created = "false"
	}
	if created == "false" && a.Operation.Verb != verbUpdate && before.Facts[factDigest] == s.recipe.Digest() && s.inOrder(ctx) {
		return dag.Result{Facts: map[string]string{factCreated: created},
			Output: fmt.Sprintf("%s %s is installed already on %s", s.recipe.Name, s.recipe.Version, s.server.Name)}, nil
	}
	for _, script := range []string{recipe.Install, recipe.Uninstall, recipe.Check} {
		if text := s.recipe.Scripts[script]; text != nil {
			if err := s.conn.Upload(ctx, path.Join(s.dir(), script), 0o755, text); err != nil {
				return dag.Result{}, err
			}
		}
	}
	out, err := s.run(ctx, recipe.Install)
	if err != nil {
		return dag.Result{}, err
	}
	if err := x.verify(ctx, s, out.Simulated); err != nil {
		return dag.Result{}, err
	}
	if s.recipe.Scripts[recipe.Check] != nil {
		if _, err := s.run(ctx, recipe.Check); err != nil {
			return dag.Result{}, err
		}
	}
	res := s.installed(created)
	if created == "false" { // what was there before stays whose it was
		res.Resources[0].Facts[factTag] = before.Facts[factTag]
	}
	if text := tail(out.Output); text != "" {
		res.Output += ": " + text
	}
	return res, nil
}

// installed is the result of a task service that is there.
func (s *taskService) installed(created string) dag.Result {
	r := s.recipe
	return dag.Result{
		Facts: map[string]string{factCreated: created, factVersion: r.Version},
		Resources: []dag.Resource{{Kind: kindTaskserv, Name: s.name(), Provider: s.server.Provider,
			Facts: map[string]string{factDigest: r.Digest(), factServer: s.server.Name, factTag: s.a.Tag, factVersion: r.Version,
				"layer": r.Layer}}},
		Output: fmt.Sprintf("%s %s is installed on %s", r.Name, r.Version, s.server.Name),
	}
}

// run runs a script of the recipe where it was uploaded; an exit other than 0 is an error.
func (s *taskService) run(ctx context.Context, script string) (provider.Outcome, error) {
	out, err := s.conn.Run(ctx, provider.Command{
		Argv: []string{s.recipe.Interpreter, path.Join(s.dir(), script)},
		Env: map[string]string{
			"PROVISIONING_ATTEMPT": s.a.ID, "PROVISIONING_TASK": s.a.TaskID, "PROVISIONING_INFRA": s.a.Step.Params[paramInfra],
			"PROVISIONING_TASKSERV": s.recipe.Name, "PROVISIONING_TASKSERV_VERSION": s.recipe.Version,
		},
	})
	if err != nil || out.Exit == 0 {
		return out, err
	}
	class := provider.ClassOf(out.Output)
	if slices.Contains(tryAgain, out.Exit) {
		class = dag.Transient
	}
	reason := tail(out.Output)
	if reason == "" {
		reason = "it said nothing"
	}
	return out, provider.Errorf(class, "%s of %s on %s ended with exit %d: %s", script, s.recipe.Name, s.server.Name, out.Exit, reason)
}

// inOrder says whether the check script finds the task service as it should be.
func (s *taskService) inOrder(ctx context.Context) bool {
	if s.recipe.Scripts[recipe.Check] == nil {
		return false // cannot tell: install again, which is safe
	}
	_, err := s.run(ctx, recipe.Check)
	return err == nil
}

// verify reads the configuration files back and parses them.
func (x *Executor) verify(ctx context.Context, s *taskService, simulated bool) error {
	if simulated {
		return nil
	}
	for _, f := range s.recipe.Files {
		out, err := s.conn.Run(ctx, provider.Command{Argv: []string{"cat", "--", f.Path}})
		if err != nil {
			return err
		}
		if out.Exit != 0 {
			return provider.Errorf(provider.ClassOf(out.Output), "%s of %s on %s cannot be read back: %s", f.Path, s.recipe.Name,
				s.server.Name, tail(out.Output))
		}
		if err := x.Recipes.Verify(f, out.Output); err != nil {
			return provider.Errorf(dag.Permanent, "%s on %s wrote a wrong configuration: %v", s.recipe.Name, s.server.Name, err)
		}
	}
	return nil
}

// remove uninstalls a task service unless others on the server need it.
func (x *Executor) remove(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	s, err := x.connect(ctx, a)
	if lost(err) {
		res, err := x.withServer(ctx, a)
		res.Facts = map[string]string{factCreated: "false"}
		return res, err
	}
	if err != nil {
		return dag.Result{}, err
	}
	defer s.conn.Close()
	before, was, err := x.Inventory.Resource(ctx, s.server.Provider, kindTaskserv, s.name())
	if err != nil {
		return dag.Result{}, err
	}
	if !was {
		return dag.Result{Facts: map[string]string{factCreated: "false"},
			Output: fmt.Sprintf("%s is not installed on %s: nothing to remove", s.recipe.Name, s.server.Name)}, nil
	}
	dependents, err := x.Recipes.Dependents(a.Step.Params[paramInfra], s.recipe.Name)
	if err != nil {
		return dag.Result{}, err
	}
	for _, d := range dependents {
		if _, needed, err := x.Inventory.Resource(ctx, s.server.Provider, kindTaskserv, s.server.Name+"/"+d); err != nil || needed {
			if err == nil {
				err = provider.Errorf(dag.ConflictClass, "%s on %s is needed by %s: remove that first", s.recipe.Name, s.server.Name, d)
			}
			return dag.Result{}, err
		}
	}
	res, err := s.uninstall(ctx)
	if err != nil {
		return dag.Result{}, err
	}
	res.Facts = map[string]string{factCreated: "true", factTag: before.Facts[factTag], factVersion: before.Facts[factVersion]}
	return res, nil
}

// uninstall runs the uninstall script that came with what is installed, or today's when that is
// gone.
func (s *taskService) uninstall(ctx context.Context) (dag.Result, error) {
	script := path.Join(s.dir(), recipe.Uninstall)
	out, err := s.conn.Run(ctx, provider.Command{Argv: []string{"test", "-f", script}})
	if err != nil {
		return dag.Result{}, err
	}
	if out.Exit != 0 {
		if !s.recipe.Reversible() {
			return dag.Result{}, provider.Errorf(dag.Permanent, "%s cannot be uninstalled: its recipe has no %s", s.recipe.Name,
				recipe.Uninstall)
		}
		if err := s.conn.Upload(ctx, script, 0o755, s.recipe.Scripts[recipe.Uninstall]); err != nil {
			return dag.Result{}, err
		}
	}
	if _, err := s.run(ctx, recipe.Uninstall); err != nil {
		return dag.Result{}, err
	}
	if out, err = s.conn.Run(ctx, provider.Command{Argv: []string{"rm", "-rf", "--", s.dir()}}); err != nil {
		return dag.Result{}, err
	}
	if out.Exit != 0 {
		return dag.Result{}, provider.Errorf(dag.Transient, "the scripts of %s on %s cannot be removed: %s", s.recipe.Name, s.server.Name,
			tail(out.Output))
	}
	return dag.Result{
		Resources: []dag.Resource{{Gone: true, Kind: kindTaskserv, Name: s.name(), Provider: s.server.Provider}},
		Output:    fmt.Sprintf("%s is removed from %s", s.recipe.Name, s.server.Name),
	}, nil
}

// withServer is the result of a step whose task service is gone because its server is. The server
// itself stays in the inventory until somebody deletes it or makes it anew.
func (x *Executor) withServer(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	res := dag.Result{Output: fmt.Sprintf("server %s is gone, and %s with it", a.Step.Target, a.Step.Params[paramService])}
	there, ok, err := x.server(ctx, a.Step.Target)
	if ok {
		res.Resources = []dag.Resource{{Gone: true, Kind: kindTaskserv, Name: there.Name + "/" + a.Step.Params[paramService],
			Provider: there.Provider}}
	}
	return res, err
}

// tail is the end of a script's output, for people.
func tail(out []byte) string {
	out = bytes.TrimSpace(bytes.ToValidUTF8(out, []byte("\uFFFD")))
	if len(out) > shownOutput {
		out = append([]byte("…"), bytes.ToValidUTF8(out[len(out)-shownOutput:], nil)...)
	}
	return string(out)
}

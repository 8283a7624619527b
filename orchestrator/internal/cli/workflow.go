package cli

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/watch"
)

func workflows() cli.Command {
	return cli.Command{Use: "workflow", Short: "submit one piece of work for an infra",
		Commands: []cli.Command{
			workflow("servers", "servers", "create the servers of an infra", "servers --infra small --watch", nil),
			workflow("taskserv NAME", "taskserv", "install, remove or check a task service on the servers of an infra",
				"taskserv kubernetes --infra small --operation check",
				func(w *client.Workflow, name string) { w.Taskserv = name }),
			workflow("cluster TYPE", "cluster", "create, remove or check a cluster", "cluster web --infra small --check",
				func(w *client.Workflow, name string) { w.ClusterType = name }),
		}}
}

// workflow returns the verb for one kind; named stores its argument, nil when it takes none. The
// example goes without the words in front of the verb.
func workflow(use, kind, short, example string, named func(*client.Workflow, string)) cli.Command {
	var w client.Workflow
	var watched bool
	var limit time.Duration
	args := 0
	if named != nil {
		args = 1
	}
	return remote(cli.Command{
		Use: use, Changes: true, Short: short, Args: args, Example: "  orchestrator workflow " + example,
		Flags: func(f *cli.Flags) {
			f.StringVar(&w.Infra, "infra", "", "name of the infra (required)")
			f.StringVar(&w.Settings, "settings", "", "settings file inside the infra's folder")
			f.BoolVar(&w.CheckMode, "check", false, "say what would be done and change nothing")
			f.BoolVar(&w.Wait, "wait", false, "the task completes only when the resource is up; to wait for the task itself give --watch")
			if named != nil {
				f.StringVar(&w.Operation, "operation", "create", "create, update, delete or check")
			}
			f.BoolVar(&watched, "watch", false, "follow the task to its end; exit codes as task watch")
			patience(f, &limit)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if w.Infra == "" {
			return cli.Usage("--infra is needed: the name of a folder below the orchestrator's infra folder")
		}
		if named != nil {
			named(&w, args[0])
		}
		var events *watch.Conn
		if watched { // before the submission, so that nothing is missed
			var err error
			if events, err = dial(ctx, api, work()); err != nil {
				return err
			}
			defer func() { _ = events.Close() }()
		}
		task, err := api.SubmitWorkflow(ctx, kind, w, "")
		if err != nil {
			return err
		}
		if watched {
			return followTask(ctx, o, api, events, task, limit)
		}
		o.Note("submitted; follow it with: orchestrator task watch %s", task)
		return o.Print(map[string]string{"task_id": task}, cli.Table{Rows: [][]string{{task}}})
	})
}

package cli

import (
	"context"
	"strings"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
)

// nameRows is how many rows a verb reads at once when it looks for a name.
const nameRows = 1000

// checkpointID returns the id of the checkpoint that text names: text itself when it is an id, else the
// checkpoint of that name. Several of one name are a conflict (exit code 6) that lists their ids.
func checkpointID(ctx context.Context, api *client.Client, text string) (string, error) {
	if id.Valid(text) {
		return text, nil
	}
	var found []string
	for p, more := (client.Page{Limit: nameRows}), true; more; {
		l, err := api.Checkpoints(ctx, p)
		if err != nil {
			return "", err
		}
		for _, c := range l.Rows {
			if c.Name == text {
				found = append(found, c.ID)
			}
		}
		p.After, more = l.Next, l.Next != ""
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fault.New(fault.NotFound, "cli.checkpoint", "there is no checkpoint %s; see: orchestrator checkpoint list", text)
	}
	return "", fault.New(fault.Conflict, "cli.ambiguous", "%d checkpoints are called %s; give one of their ids: %s", len(found), text, strings.Join(found, ", "))
}

// completion is how many ids the shell proposes after a tab.
const completion = 50

// batchIDs proposes the newest batches, with their names behind a tab.
func batchIDs(ctx context.Context, o *cli.IO) (proposals []string) {
	t := target()
	api, err := t.Client(ctx, o)
	if err != nil {
		return nil
	}
	l, err := api.Batches(ctx, "", client.Page{Limit: completion})
	if err != nil {
		return nil
	}
	for _, b := range l.Rows {
		proposals = append(proposals, b.BatchID+"\t"+cli.Printable(b.Name))
	}
	return proposals
}

// taskIDs proposes the newest tasks, with their names behind a tab.
func taskIDs(ctx context.Context, o *cli.IO) (proposals []string) {
	t := target()
	api, err := t.Client(ctx, o)
	if err != nil {
		return nil
	}
	l, err := api.Tasks(ctx, "", client.Page{Limit: completion})
	if err != nil {
		return nil
	}
	for _, r := range l.Rows {
		proposals = append(proposals, r.ID+"\t"+cli.Printable(r.Name))
	}
	return proposals
}

// checkpointNames proposes the newest checkpoints by name.
func checkpointNames(ctx context.Context, o *cli.IO) (proposals []string) {
	t := target()
	api, err := t.Client(ctx, o)
	if err != nil {
		return nil
	}
	l, err := api.Checkpoints(ctx, client.Page{Limit: completion})
	if err != nil {
		return nil
	}
	for _, c := range l.Rows {
		proposals = append(proposals, cli.Printable(c.Name)+"\t"+c.ID)
	}
	return proposals
}

// statuses are the five words that --status takes.
var statuses = []string{"pending", "running", "completed", "failed", "cancelled"}

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

// checkpoint returns the checkpoint that text names, as checkpointID finds it.
func checkpoint(ctx context.Context, api *client.Client, text string) (client.Checkpoint, error) {
	id, err := checkpointID(ctx, api, text)
	if err != nil {
		return client.Checkpoint{}, err
	}
	return api.Checkpoint(ctx, id)
}

// checkpointID returns the id of the checkpoint that text names: text itself when it is an id, else
// the checkpoint of that name. Several of one name are a conflict (exit code 6) that lists their
// ids and times.
func checkpointID(ctx context.Context, api *client.Client, text string) (string, error) {
	if id.Valid(text) {
		return text, nil
	}
	var found []string
	last := ""
	for p, more := (client.Page{Limit: nameRows}), true; more; {
		l, err := api.Checkpoints(ctx, p)
		if err != nil {
			return "", err
		}
		for _, c := range l.Rows {
			if c.Name == text {
				found = append(found, c.ID+" of "+c.CreatedAt.Format(rfc3339))
				last = c.ID
			}
		}
		p.After, more = l.Next, l.Next != ""
	}
	switch len(found) {
	case 1:
		return last, nil
	case 0:
		return "", fault.New(fault.NotFound, "cli.checkpoint", "there is no checkpoint %s; see: orchestrator checkpoint list", text)
	}
	return "", fault.New(fault.Conflict, "cli.ambiguous", "%d checkpoints are called %s; give one of their ids: %s", len(found), text,
		strings.Join(found, ", "))
}

// batchID returns the id of the batch that text names: text itself when it is an id, else the only
// one of that name among the newest nameRows batches. Several of one name are a conflict (exit code
// 6) that lists their ids and times.
func batchID(ctx context.Context, api *client.Client, text string) (string, error) {
	if id.Valid(text) {
		return text, nil
	}
	l, err := api.BatchSummaries(ctx, client.Page{Limit: nameRows})
	if err != nil {
		return "", err
	}
	var found []string
	last := ""
	for _, b := range l.Rows {
		if b.Name == text {
			found, last = append(found, b.BatchID+" of "+b.CreatedAt.Format(rfc3339)), b.BatchID
		}
	}
	switch len(found) {
	case 1:
		return last, nil
	case 0:
		return "", fault.New(fault.NotFound, "cli.batch",
			"no batch is called %s among the newest %d; give an id, which is in the first column of: orchestrator batch list", text,
			nameRows)
	}
	return "", fault.New(fault.Conflict, "cli.ambiguous", "%d batches are called %s; give one of their ids: %s", len(found), text,
		strings.Join(found, ", "))
}

// batchIDs proposes the newest batches, with their names behind a tab.
var batchIDs = target().Propose(func(ctx context.Context, api *client.Client, p client.Page) (ids []string, err error) {
	l, err := api.Batches(ctx, "", p)
	for _, b := range l.Rows {
		ids = append(ids, b.BatchID+"\t"+cli.Printable(b.Name))
	}
	return ids, err
})

// taskIDs proposes the newest tasks, with their names behind a tab.
var taskIDs = target().Propose(func(ctx context.Context, api *client.Client, p client.Page) (ids []string, err error) {
	l, err := api.Tasks(ctx, "", p)
	for _, r := range l.Rows {
		ids = append(ids, r.ID+"\t"+cli.Printable(r.Name))
	}
	return ids, err
})

// checkpointNames proposes the newest checkpoints by name.
var checkpointNames = target().Propose(func(ctx context.Context, api *client.Client, p client.Page) (names []string, err error) {
	l, err := api.Checkpoints(ctx, p)
	for _, c := range l.Rows {
		names = append(names, cli.Printable(c.Name)+"\t"+c.ID)
	}
	return names, err
})

// statuses are the five words that --status takes.
var statuses = []string{"pending", "running", "completed", "failed", "cancelled"}

package cli

import (
	"context"
	"encoding/json"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/instant"
)

func auditLog(local []cli.Command) cli.Command {
	return cli.Command{Use: "audit", Short: "the tamper-evident log", Commands: append([]cli.Command{auditList()}, local...)}
}

func auditList() cli.Command {
	var p client.Page
	var filter client.AuditFilter
	var all bool
	return remote(cli.Command{
		Use: "list", Short: "list audit records of both services, newest first",
		Example: "  control-center audit list --action server.create --from 2026-01-01",
		Flags: func(f *cli.Flags) {
			f.StringVar(&filter.UserID, "user-id", "", "only this user's acts")
			f.StringVar(&filter.Action, "action", "", "only this action, e.g. server.create")
			f.StringVar(&filter.Resource, "resource", "", "only this resource, e.g. servers/web-01")
			f.StringVar(&filter.From, "from", "", "not before (ISO 8601)")
			f.StringVar(&filter.To, "to", "", "not after (ISO 8601)")
			f.BoolVar(&all, "all", false, "also what the services do for each other (witnessing); a table leaves it out")
			cli.PageFlags(f, &p)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		l, err := api.AuditLogs(ctx, filter, p)
		if err != nil {
			return err
		}
		t, hidden := auditTable(l.Rows, all)
		if hidden > 0 && o.Format == "table" {
			o.Note("%d row(s) of the services witnessing each other are left out; --all shows them", hidden)
		}
		return cli.PrintList(o, l, t)
	})
}

// person returns the name of who acted, or the id when the log has no name.
func person(r client.AuditRow) string {
	var details struct {
		Username string `json:"username"`
	}
	if json.Unmarshal(r.Details, &details) == nil && details.Username != "" {
		return details.Username
	}
	return r.UserID
}

// auditTable returns rows with the names of who acted. Without all it leaves out what the services
// do for each other, and counts it.
func auditTable(rows []client.AuditRow, all bool) (t cli.Table, hidden int) {
	t.Head = []string{"TIME", "USER", "ACTION", "RESOURCE", "RESULT", "ORIGIN"}
	for _, r := range rows {
		if !all && r.Action == "audit.witness" {
			hidden++
			continue
		}
		t.Rows = append(t.Rows, []string{instant.Format(r.Timestamp), person(r), r.Action, r.Resource, r.Result, r.Origin})
	}
	return t, hidden
}

package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
)

// statusRows is how many tasks of each kind the screen shows; statusLook is how many failed ones
// are looked at for those of today.
const (
	statusRows = 10
	statusLook = 200
)

// overview is what orchestrator status shows, for programs.
type overview struct {
	Orchestrator  string        `json:"orchestrator"`
	ControlCenter string        `json:"control_center"`
	Reasons       []string      `json:"reasons,omitempty"`
	Running       int           `json:"running"`
	Waiting       int           `json:"waiting"`
	FailedToday   int           `json:"failed_today"`
	FailedMore    bool          `json:"failed_more,omitempty"` // there may be more than FailedToday
	Tasks         []client.Task `json:"tasks"`
}

func status() cli.Command {
	var center string
	return remote(cli.Command{
		Use: "status", Short: "what runs, waits, and failed today, and how both services are",
		Example: "  orchestrator status",
		Flags: func(f *cli.Flags) {
			f.StringVar(&center, "control-center", "",
				"URL of the control-center (default: CONTROL_CENTER_SERVER, else http://127.0.0.1:9080)")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		for _, other := range []string{o.Getenv("CONTROL_CENTER_SERVER"), "http://127.0.0.1:9080"} {
			if center == "" {
				center = other
			}
		}
		v, err := look(ctx, api, time.Now())
		if err != nil {
			return err
		}
		v.ControlCenter = "Healthy"
		other := client.Client{Base: center, HTTP: api.HTTP}
		if err := other.Health(ctx); err != nil {
			v.ControlCenter = "Unhealthy: " + fault.Of(err).Message
		}
		return o.Print(v, v.table())
	})
}

// look asks the orchestrator for what is to be shown.
func look(ctx context.Context, api *client.Client, now time.Time) (overview, error) {
	h, err := api.SystemHealth(ctx)
	if err != nil {
		return overview{}, err
	}
	v := overview{Orchestrator: h.Overall, Reasons: h.Reasons, Tasks: []client.Task{}}
	running, err := api.Tasks(ctx, "running", client.Page{Limit: statusRows})
	if err != nil {
		return v, err
	}
	waiting, err := api.Tasks(ctx, "pending", client.Page{Limit: statusRows})
	if err != nil {
		return v, err
	}
	failed, err := api.Tasks(ctx, "failed", client.Page{Limit: statusLook})
	if err != nil {
		return v, err
	}
	v.Running, v.Waiting = running.Total, waiting.Total
	v.Tasks = append(append(v.Tasks, running.Rows...), waiting.Rows...)
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	for _, t := range failed.Rows {
		if t.CompletedAt == nil || t.CompletedAt.Before(midnight) {
			continue
		}
		if v.FailedToday++; v.FailedToday <= statusRows {
			v.Tasks = append(v.Tasks, t)
		}
	}
	v.FailedMore = failed.Next != ""
	return v, nil
}

// table is the screen.
func (v overview) table() cli.Table {
	orchestrator, more := v.Orchestrator, ""
	if len(v.Reasons) > 0 {
		orchestrator += ": " + strings.Join(v.Reasons, ", ")
	}
	if v.FailedMore {
		more = " or more"
	}
	t := cli.Table{Facts: [][2]string{{"orchestrator", orchestrator}, {"control-center", v.ControlCenter},
		{"running", strconv.Itoa(v.Running)}, {"waiting", strconv.Itoa(v.Waiting)}, {"failed today", strconv.Itoa(v.FailedToday) + more}}}
	if len(v.Tasks) == 0 {
		return t
	}
	t.Head = []string{"STATUS", "TASK", "NAME", "SINCE", "ERROR"}
	for _, one := range v.Tasks {
		since, why := one.CreatedAt, ""
		for _, at := range []*time.Time{one.StartedAt, one.CompletedAt} {
			if at != nil {
				since = *at
			}
		}
		if one.Error != nil {
			why, _, _ = strings.Cut(*one.Error, "\n")
		}
		t.Rows = append(t.Rows, []string{one.Status, one.ID, one.Name, since.Format(rfc3339), why})
	}
	return t
}

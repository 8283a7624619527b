package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/watch"
)

// followed is what a person looks at while events arrive: a batch or a task.
type followed interface {
	event(e watch.Event) // takes one event; those of other work are passed over
	ended() bool
	draw()  // draws again; called each second
	close() // ends the drawing
}

// work is what a verb asks for that follows a run it has not submitted yet.
func work() url.Values { return url.Values{"events": {"batch,task,progress"}} }

// only narrows a query to the events of one batch or task: name is batch_ids or task_ids.
func only(query url.Values, name, id string) url.Values {
	query.Set(name, id)
	return query
}

// dial opens the event stream of the service with a query of /ws. A verb dials before it asks or
// submits, so that it misses no event. The stream outlives the token where the sign-in can be
// renewed.
func dial(ctx context.Context, api *client.Client, query url.Values) (*watch.Conn, error) {
	address := strings.TrimRight(api.Base, "/") + "/ws?" + query.Encode()
	if api.Fresh != nil {
		return watch.DialFresh(ctx, address, api.Fresh, 0, "", api.Roots)
	}
	return watch.Dial(ctx, address, api.Token.Reveal(), 0, "", api.Roots)
}

// follow shows events until the work has ended; nil when it has. A limit of 0 is none. again is the
// command line that follows the work again after an interruption.
func follow(ctx context.Context, o *cli.IO, events *watch.Conn, show followed, limit time.Duration, again string) error {
	var over <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	ctx, ignore := signal.NotifyContext(ctx, os.Interrupt) // so that Ctrl-C can say that the work goes on
	defer ignore()
	clock := time.NewTicker(time.Second) // the seconds go on while nothing happens
	defer clock.Stop()
	following, stop := context.WithCancel(ctx)
	defer stop()
	arrived := listen(following, events)
	for !show.ended() {
		select {
		case <-ctx.Done():
			o.Note("\nthe work goes on; follow it again with: %s", again)
			return context.Canceled
		case <-over:
			return cli.Exit(cli.ExitTimeout, fmt.Errorf("it has not ended within %s and goes on; follow it again with: %s", limit, again))
		case <-clock.C:
			show.draw()
		case a := <-arrived:
			if a.err != nil && ctx.Err() == nil {
				return a.err
			}
			if a.err == nil {
				show.event(a.event)
			}
		}
	}
	show.close()
	return nil
}

// arrival is what the socket gave: an event, or why there will be none.
type arrival struct {
	event watch.Event
	err   error
}

// listen reads events until the first error, which it hands on too, or until nobody wants them.
func listen(ctx context.Context, events *watch.Conn) <-chan arrival {
	arrived := make(chan arrival)
	go func() {
		for {
			e, err := events.Next(ctx)
			select {
			case arrived <- arrival{e, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return arrived
}

// howItEnded turns the status of ended work into the exit code of the verb that followed it; nil
// when it completed. what names the work, why says what went wrong.
func howItEnded(what, status, why string) error {
	switch status {
	case "Completed":
		return nil
	case "Cancelled":
		return cli.Exit(cli.ExitRunCancelled, fmt.Errorf("%s was cancelled%s", what, because(why)))
	}
	return cli.Exit(cli.ExitRunFailed, fmt.Errorf("%s is %s%s", what, strings.ToLower(status), because(why)))
}

// taskDisplay shows one task while it runs: a line a change.
type taskDisplay struct {
	o      *cli.IO
	id     string
	status string
	step   string
}

func (d *taskDisplay) event(e watch.Event) {
	var data struct {
		TaskID   string  `json:"task_id"`
		Status   string  `json:"status"`
		Step     string  `json:"current_step"`
		Progress float64 `json:"progress"`
		Error    string  `json:"error"`
	}
	if json.Unmarshal(e.Data, &data) != nil || data.TaskID != d.id {
		return
	}
	switch {
	case e.Type == string(event.TaskStatusChanged) && data.Status != d.status:
		d.status = data.Status
		d.o.Note("task %s %s%s", d.id, d.status, because(data.Error))
	case e.Type == string(event.WorkflowProgress) && data.Step != "" && data.Step != d.step:
		d.step = data.Step
		d.o.Note("  %3.0f%%  %s", data.Progress, d.step)
	}
}

func (d *taskDisplay) ended() bool {
	return d.status == "completed" || d.status == "failed" || d.status == "cancelled"
}

func (d *taskDisplay) draw() {}

func (d *taskDisplay) close() {}

// followTask shows a task to its end, prints its last view and returns how it ended.
func followTask(ctx context.Context, o *cli.IO, api *client.Client, events *watch.Conn, id string, limit time.Duration) error {
	task, err := api.Task(ctx, id)
	if err != nil {
		return err
	}
	show := &taskDisplay{o: o, id: task.ID, status: strings.ToLower(task.Status)}
	if err := follow(ctx, o, events, show, limit, "orchestrator task watch "+task.ID); err != nil {
		return err
	}
	if task, err = api.Task(ctx, task.ID); err != nil {
		return err
	}
	if err := o.Print(task, taskView(task)); err != nil {
		return err
	}
	why := ""
	if task.Error != nil {
		why = *task.Error
	}
	return howItEnded("task "+task.ID, task.Status, why)
}

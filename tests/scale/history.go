package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	pageLimit  = 100.0    // ms for one page or one object
	startLimit = 10_000.0 // ms until a killed service is ready again
	rssLimit   = 300.0    // MiB of each service, after all of it
	looks      = 15       // how often a figure is measured; the median counts
)

// history measures both services over a long history.
func history(ctx context.Context, s *scale) (err error) {
	in, err := s.install(ctx, "history")
	if in != nil {
		defer func() {
			if e := in.Close(); err == nil {
				err = e
			}
		}()
	}
	if err != nil {
		return err
	}
	if !in.filled {
		if _, err := in.Orch(in.Token).CreateCheckpoint(ctx, beginning, "", ""); err != nil {
			return err
		}
		began := time.Now()
		if err := in.fill(ctx, s.tasks, s.servers); err != nil {
			return err
		}
		s.print("fill_tasks", float64(s.tasks)/time.Since(began).Seconds(), "tasks/s", 0)
		if err := in.copied(ctx); err != nil {
			return err
		}
		began = time.Now()
		if err := in.index(ctx, s.rows); err != nil {
			return err
		}
		s.print("fill_audit", float64(s.rows)/time.Since(began).Seconds(), "rows/s", 0)
		if err := in.done(); err != nil {
			return err
		}
	}
	if err := in.restart(ctx, s); err != nil {
		return err
	}
	for _, part := range []func(context.Context, *scale) error{in.taskPages, in.batchPages, in.auditPages, in.rollbacks} {
		if err := part(ctx, s); err != nil {
			return err
		}
	}
	return in.memory(s)
}

// copied waits until the rows of what was filled are in the audit index.
func (in *installation) copied(ctx context.Context) error {
	for last := -1; ; {
		a, err := in.get(ctx, in.ControlCenter.Address, "/audit/logs?limit=1")
		if err != nil {
			return err
		}
		if a.total == last {
			return nil
		}
		last = a.total
		select {
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// restart kills both services and measures how long they take to be back.
func (in *installation) restart(ctx context.Context, s *scale) error {
	for _, service := range []interface {
		Kill() error
		Start(context.Context) error
	}{in.Orchestrator, in.ControlCenter} {
		if err := service.Kill(); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := in.ControlCenter.Start(ctx); err != nil {
		return err
	}
	s.print("start_control_center_after_kill", ms(time.Since(began)), "ms", startLimit)
	began = time.Now()
	if err := in.Orchestrator.Start(ctx); err != nil {
		return err
	}
	s.print("start_orchestrator_after_kill", ms(time.Since(began)), "ms", startLimit)
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// answer is what a list answered.
type answer struct {
	status int
	ids    []string
	total  int
	next   string // path and query of the next page
	bytes  int
	took   time.Duration
}

// get asks once.
func (in *installation) get(ctx context.Context, base, path string) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return a, err
	}
	req.Header.Set("Authorization", "Bearer "+in.Token.Reveal())
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	a.took, a.status, a.bytes = time.Since(began), resp.StatusCode, len(raw)
	a.total, _ = strconv.Atoi(resp.Header.Get("X-Total-Count"))
	for part := range strings.SplitSeq(resp.Header.Get("Link"), ",") {
		if target, rel, _ := strings.Cut(part, ";"); strings.Contains(rel, `rel="next"`) {
			a.next = strings.Trim(strings.TrimSpace(target), "<>")
		}
	}
	var list struct {
		Data []struct {
			ID    string `json:"id"`
			Batch string `json:"batch_id"`
		} `json:"data"`
	}
	if json.Unmarshal(raw, &list) == nil { // one object is no list
		for _, row := range list.Data {
			if row.ID == "" {
				row.ID = row.Batch
			}
			a.ids = append(a.ids, row.ID)
		}
	}
	return a, nil
}

// page measures one address and wants so many rows and that status.
func (in *installation) page(ctx context.Context, s *scale, name, base, path string, rows, status int) (answer, error) {
	var last answer
	var took []float64
	for range looks {
		a, err := in.get(ctx, base, path)
		if err != nil {
			return a, err
		}
		if a.status != status || rows >= 0 && len(a.ids) != rows {
			return a, wrong("%s: status %d with %d rows, want %d with %d", path, a.status, len(a.ids), status, rows)
		}
		last, took = a, append(took, ms(a.took))
	}
	slices.Sort(took)
	s.print(name, took[len(took)/2], "ms", pageLimit)
	return last, nil
}

func (in *installation) taskPages(ctx context.Context, s *scale) error {
	base := in.Orchestrator.Address
	first, err := in.page(ctx, s, "tasks_first", base, "/tasks", 50, 200)
	if err != nil {
		return err
	}
	if first.total < s.tasks || first.next == "" {
		return wrong("/tasks: %d in all, next %q", first.total, first.next)
	}
	oldest, err := in.page(ctx, s, "tasks_offset_from_the_end", base, fmt.Sprint("/tasks?offset=", first.total-50), 50, 200)
	if err != nil {
		return err
	}
	if oldest.next != "" {
		return wrong("the last page goes on with %s", oldest.next)
	}
	middle := strings.Replace(first.next, "limit=50", "limit=1000", 1)
	for _, p := range []struct {
		name, path string
		rows       int
		status     int
	}{
		{"tasks_second", first.next, 50, 200},
		{"tasks_of_1000", middle, 1000, 200},
		{"tasks_a_walks_last", "/tasks?limit=50&after=" + oldest.ids[0], 49, 200},
		{"tasks_before_the_oldest", "/tasks?before=" + oldest.ids[49], 1, 200},
		{"tasks_offset_50000", "/tasks?offset=50000", 50, 200},
		{"tasks_offset_100000", "/tasks?offset=100000", 50, 200},
		{"tasks_offset_100000_from_the_end", fmt.Sprint("/tasks?offset=", first.total-100_000), 50, 200},
		{"tasks_offset_past_the_end", "/tasks?offset=1000000000000", 0, 200},
		{"tasks_of_a_status_first", "/tasks?status=completed", 50, 200},
		{"tasks_of_a_status_last", "/tasks?status=completed&after=" + oldest.ids[0], 49, 200},
		{"tasks_of_no_such_status", "/tasks?status=failed", 0, 200},
		{"task_show", "/tasks/" + oldest.ids[49], -1, 200},
	} {
		if p.rows == 50 && strings.Contains(p.name, "0000") && s.tasks < 200_100 {
			continue // a smaller history than there is something to measure in
		}
		if _, err := in.page(ctx, s, p.name, base, p.path, p.rows, p.status); err != nil {
			return err
		}
	}
	if s.tasks > 2*100_000+50 {
		_, err = in.page(ctx, s, "tasks_offset_too_deep", base, fmt.Sprint("/tasks?offset=", first.total/2), 0, 422)
	}
	return err
}

func (in *installation) batchPages(ctx context.Context, s *scale) error {
	base := in.Orchestrator.Address
	first, err := in.page(ctx, s, "batches_first", base, "/batch/operations", -1, 200)
	if err != nil {
		return err
	}
	s.print("batches_first_size", float64(first.bytes)/(1<<20), "MiB", 4)
	if _, err := in.page(ctx, s, "batches_summary", base, "/batch/operations?view=summary", min(50, first.total), 200); err != nil {
		return err
	}
	last, err := in.page(ctx, s, "batches_summary_last", base, fmt.Sprint("/batch/operations?view=summary&limit=5&offset=", first.total-5),
		5, 200)
	if err != nil {
		return err
	}
	if _, err := in.page(ctx, s, "batch_show_2000_operations", base, "/batch/operations/"+last.ids[4], -1, 200); err != nil {
		return err
	}
	_, err = in.page(ctx, s, "checkpoints_first", base, "/rollback/checkpoints", -1, 200)
	return err
}

func (in *installation) auditPages(ctx context.Context, s *scale) error {
	base := in.ControlCenter.Address
	first, err := in.page(ctx, s, "audit_first", base, "/audit/logs", 50, 200)
	if err != nil {
		return err
	}
	if first.total < s.rows+s.servers {
		return wrong("/audit/logs: %d rows, there must be %d", first.total, s.rows+s.servers)
	}
	oldest, err := in.page(ctx, s, "audit_offset_from_the_end", base, fmt.Sprint("/audit/logs?offset=", first.total-50), 50, 200)
	if err != nil {
		return err
	}
	query := func(pairs ...string) string {
		q := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		return "/audit/logs?" + q.Encode()
	}
	for _, p := range []struct {
		name, path string
		rows       int
	}{
		{"audit_second", first.next, 50},
		{"audit_a_walks_last", "/audit/logs?after=" + oldest.ids[0], 49},
		{"audit_before_the_oldest", "/audit/logs?before=" + oldest.ids[49], 1},
		{"audit_user", query("user_id", busy), 50},
		{"audit_user_and_action", query("user_id", busy, "action", "server.create"), 50},
		{"audit_one_in_a_million_by_action", query("user_id", busy, "action", "once.only"), 1},
		{"audit_one_in_a_million_by_user", query("user_id", rare, "action", "server.create"), 1},
		{"audit_user_and_resource", query("user_id", busy, "resource", "servers/old-77"), min(50, s.rows/50_000)},
		{"audit_three_filters", query("user_id", busy, "resource", "servers/old-77", "action", "server.create"), min(50, s.rows/50_000)},
		{"audit_contradiction", query("user_id", rare, "action", "once.only"), 0},
		{"audit_of_an_hour", query("user_id", busy, "from",
			time.Now().Add(-time.Duration(s.rows/2)*time.Second-time.Hour).UTC().Format(time.RFC3339), "to",
			time.Now().Add(-time.Duration(s.rows/2)*time.Second).UTC().Format(time.RFC3339)), 50},
		{"audit_nothing_before_all", query("to", "2001-01-01"), 0},
	} {
		if _, err := in.page(ctx, s, p.name, base, p.path, p.rows, 200); err != nil {
			return err
		}
	}
	return nil
}

// memory measures what both services hold after all that.
func (in *installation) memory(s *scale) error {
	for name, pid := range map[string]int{"orchestrator": in.Orchestrator.PID(), "control_center": in.ControlCenter.PID()} {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(raw)) {
			var kib float64
			if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kib); err == nil {
				s.print("rss_"+name, kib/1024, "MiB", rssLimit)
			}
		}
	}
	return nil
}

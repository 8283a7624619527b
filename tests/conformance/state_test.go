package conformance

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
)

// states holds section 3.6.
var states = []behaviour{
	{75, "progress_is_known_for_a_task_and_a_batch_only", func(t *testing.T, e *env) {
		task, batch := e.submit("fast"), e.execute(e.batch("progress", op("a", "fast"), op("b", "fast", "a")))
		b := e.batchEnded(batch)
		for _, id := range []string{task, batch, b.Operations[0].TaskID} {
			if p := e.progress(id); p.WorkflowID != id || p.Total < 1 {
				t.Errorf("%+v", p)
			}
		}
		e.ended(task)
		for _, id := range []string{nowhere, "no-such-id", "..%2Fx", e.checkpoint("no workflow")} {
			for _, what := range []string{"/progress", "/snapshots"} {
				e.want(e.orch("viewer", "GET", "/state/workflows/"+id+what, nil), 404)
			}
		}
	}},
	{76, "progress_never_falls_and_is_100_exactly_at_the_good_end", func(t *testing.T, e *env) {
		task, batch := e.submit("slow"), e.execute(e.batch("progress", op("a", "slow"), op("b", "slow", "a"), op("c", "slow")))
		failing := e.execute(e.batch("failing", op("a", "slow"), op("b", "broken", "a")))
		for id, good := range map[string]bool{task: true, batch: true, failing: false} {
			last := 0.0
			e.await(60*time.Second, "the workflow ends", func() bool {
				p := e.progress(id)
				if p.Progress < last || p.Progress > 100 || p.Progress == 100 != (p.Status == "Completed") || p.Completed > p.Total {
					t.Errorf("after %v: %+v", last, p)
				}
				if p.Remaining != nil && *p.Remaining < 0 {
					t.Errorf("%d s are left", *p.Remaining)
				}
				last = p.Progress
				return p.Status != "Pending" && p.Status != "Running"
			})
			if p := e.progress(id); p.Status == "Completed" != good || p.Remaining != nil && *p.Remaining != 0 {
				t.Errorf("at its end: %+v", p)
			}
		}
	}},
	{77, "the_current_step_changes_and_a_failure_keeps_the_progress", func(t *testing.T, e *env) {
		ops, _ := e.chain("slow", 3)
		id, seen := e.execute(e.batch("steps", ops...)), map[string]bool{}
		e.await(60*time.Second, "the batch ends", func() bool {
			p := e.progress(id)
			seen[p.Step] = true
			return p.Status != "Running"
		})
		if len(seen) < 2 {
			t.Errorf("the steps were %v", seen)
		}
		failing := e.execute(e.batch("failing", op("good", "fast"), op("bad", "broken", "good")))
		e.batchEnded(failing)
		first := e.progress(failing)
		if first.Status != "Failed" || first.Progress != 50 || first.Completed != 1 || first.Total != 2 || first.Step != "bad" {
			t.Errorf("%+v", first)
		}
		if again := e.progress(failing); again.Progress != first.Progress {
			t.Errorf("progress %v became %v", first.Progress, again.Progress)
		}
	}},
	{78, "a_snapshot_a_status_change_thinned_at_the_end", func(t *testing.T, e *env) {
		batch := e.execute(e.batch("snapshots", op("a", "fast"), op("b", "hang", "a")))
		e.await(30*time.Second, "the second operation runs", func() bool { return e.progress(batch).Step == "b" })
		if running := e.snapshots(batch, 2); len(running) != 4 { // the batch, a began, a ended, b began
			t.Errorf("while it runs: %+v", running)
		}
		e.want(e.orch("operator", "POST", "/batch/operations/"+batch+"/cancel", nil), 200)
		e.batchEnded(batch)
		if kept := e.snapshots(batch, 50); len(kept) != 2 || kept[0].State != "running" || kept[1].State != "cancelled" {
			t.Errorf("at its end: %+v", kept)
		}
		failing := e.execute(e.batch("failing", op("a", "broken"), op("b", "broken")))
		e.batchEnded(failing)
		failures := 0
		for _, s := range e.snapshots(failing, 1) {
			if s.Details.TaskID != "" && s.Details.Error != "" {
				failures++
			}
		}
		if failures != 2 && failures != 1 { // the second may have been cancelled before it began
			t.Errorf("%d failures are kept", failures)
		}
		task := e.submit("slow")
		states := map[string]bool{}
		e.await(60*time.Second, "the task ends", func() bool {
			for _, s := range e.snapshots(task, 50) {
				states[s.State] = true
			}
			return states["completed"]
		})
		if !states["pending"] || !states["running"] {
			t.Errorf("a task was only seen %v", states)
		}
	}},
	{79, "system_metrics_agree_with_tasks_and_batches", func(t *testing.T, e *env) {
		f := e.fresh()
		f.ended(f.submit("fast"))
		f.ended(f.submit("broken"))
		f.batchEnded(f.execute(f.batch("good", op("a", "fast"), op("b", "fast"))))
		cancelled := f.execute(f.batch("cancelled", op("a", "hang")))
		f.want(f.orch("operator", "POST", "/batch/operations/"+cancelled+"/cancel", nil), 200)
		f.batchEnded(cancelled)
		f.execute(f.batch("runs", op("a", "hang")))
		var m client.SystemMetrics
		f.want(f.orch("viewer", "GET", "/state/system/metrics", nil), 200).into(t, &m)
		if m.Active != 1 || m.Completed != 2 || m.Failed != 1 || m.Cancelled != 1 ||
			m.Total != m.Active+m.Completed+m.Failed+m.Cancelled {
			t.Errorf("%+v", m)
		}
		single := 0
		for _, task := range f.walk("/tasks") {
			if !f.isOperation(task.ID) {
				single++
			}
		}
		if batches := f.count("/batch/operations"); m.Total != int64(single+batches) {
			t.Errorf("%d workflows, %d single tasks and %d batches", m.Total, single, batches)
		}
		if l := m.Load; l.CPU < 0 || l.CPU > 100 || l.Disk <= 0 || l.Disk > 100 || l.Memory <= 0 {
			t.Errorf("load %+v", l)
		}
	}},
	{80, "health_is_the_worst_part_and_degraded_storage_shows", func(t *testing.T, e *env) {
		away, back := e.withoutStorage()
		health := func() (h client.SystemHealth) {
			e.want(e.orch("viewer", "GET", "/state/system/health", nil), 200).into(t, &h)
			return h
		}
		e.await(20*time.Second, "health is good", func() bool { return health().Overall == "Healthy" })
		h := health()
		if c := h.Components; c.Storage != "Healthy" || c.Coordinator != "Healthy" || c.Monitoring != "Healthy" ||
			time.Since(h.LastCheck).Abs() > time.Minute {
			t.Errorf("%+v", h)
		}
		away()
		e.await(30*time.Second, "degraded storage shows", func() bool {
			e.orch("admin", "POST", "/rollback/checkpoints", map[string]any{"name": "x"}) // a store is missed when it is used
			h := health()
			return h.Components.Storage != "Healthy" && h.Overall != "Healthy" && (h.Overall == h.Components.Storage ||
				h.Components.Storage == "Degraded")
		})
		if back != nil {
			back()
			e.await(20*time.Second, "health is good again", func() bool { return health().Overall == "Healthy" })
		}
	}},
	{81, "statistics_fit_the_other_answers", func(t *testing.T, e *env) {
		f := e.fresh()
		statistics := func() (s client.Statistics) {
			f.want(f.orch("viewer", "GET", "/state/statistics", nil), 200).into(t, &s)
			if !regexp.MustCompile(`^\d+(B|KB|MB|GB|TB)$`).MatchString(s.StorageUsage) || (s.StorageBytes > 0) == e.surreal {
				t.Errorf("the store takes %s, %d bytes", s.StorageUsage, s.StorageBytes)
			}
			return s
		}
		if s := statistics(); s.Total != 0 || s.Snapshots != 0 || s.Average != 0 {
			t.Errorf("a fresh system: %+v", s)
		}
		ids := []string{f.submit("slow"), f.submit("broken"), f.execute(f.batch("good", op("a", "fast"), op("b", "fast"))),
			f.execute(f.batch("bad", op("a", "broken"), op("b", "fast")))}
		snapshots := int64(0)
		for _, id := range ids {
			f.await(60*time.Second, "the workflow ends", func() bool {
				p := f.progress(id)
				return p.Status != "Pending" && p.Status != "Running"
			})
			snapshots += int64(f.count("/state/workflows/" + id + "/snapshots"))
		}
		var m client.SystemMetrics
		f.want(f.orch("viewer", "GET", "/state/system/metrics", nil), 200).into(t, &m)
		if s := statistics(); s.Total != m.Total || s.Total != int64(len(ids)) || s.Snapshots != snapshots || s.Average <= 0 ||
			s.Average > 60 {
			t.Errorf("%+v; %d workflows with %d snapshots", s, m.Total, snapshots)
		}
	}},
}

// progress returns how far a workflow is.
func (e *env) progress(id string) (p client.Progress) {
	e.t.Helper()
	e.want(e.orch("viewer", "GET", "/state/workflows/"+id+"/progress", nil), 200).into(e.t, &p)
	return p
}

// snapshots walks over the snapshots of a workflow by pages of that limit, and fails when one is
// out of place.
func (e *env) snapshots(id string, limit int) (all []client.Snapshot) {
	e.t.Helper()
	path, seen := fmt.Sprintf("/state/workflows/%s/snapshots?limit=%d", id, limit), map[string]bool{}
	lower := regexp.MustCompile(`^[a-z]+$`)
	for path != "" {
		var page []client.Snapshot
		a := e.want(e.orch("viewer", "GET", path, nil), 200)
		a.into(e.t, &page)
		if len(page) > limit {
			e.t.Errorf("a page of %d has %d rows", limit, len(page))
		}
		all, path = append(all, page...), next(e.t, a)
	}
	for i, s := range all {
		if seen[s.ID] || !lower.MatchString(s.State) || i > 0 && s.At.Before(all[i-1].At) || s.Details.Total < 1 {
			e.t.Errorf("out of place: %+v", s)
		}
		seen[s.ID] = true
	}
	return all
}

// isOperation says whether a task is one of a batch.
func (e *env) isOperation(id string) bool {
	var task struct {
		Batch string `json:"batch_id"`
	}
	e.want(e.orch("viewer", "GET", "/tasks/"+id, nil), 200).into(e.t, &task)
	return task.Batch != ""
}

package api

import (
	"context"
	"math"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

// reconcileWait is how long the providers may take to list their servers.
const reconcileWait = 10 * time.Minute

func (a *API) restoreRoutes() []web.Route {
	return []web.Route{
		{Method: "POST", Path: "/rollback/restore/:id", Op: "restoreCheckpoint",
			Summary: "Make the inventory what it was at a checkpoint, without asking any provider",
			Doc: "It is for a store that is wrong about the world: nothing is created or deleted outside. It is refused while anything " +
				"runs, takes a checkpoint of its own before, and leaves history, checkpoints and the audit log as they are. The " +
				"inventory counts as unverified until POST /rollback/reconcile has asked the providers.",
			Example:    "State restored from checkpoint 01997b1c-0000-7000-8000-000000000001",
			Permission: web.Allow("restore", "checkpoints"), Audit: "checkpoint.restore", Handle: web.To(a.restore)},
		{Method: "POST", Path: "/rollback/reconcile", Op: "reconcile",
			Summary: "Compare the inventory with what the providers have, and make it say so",
			Doc: "What is gone leaves the inventory; a server that an operation made which still stands comes back. When every provider " +
				"has answered, the inventory is verified.",
			Refuses:    []fault.Kind{fault.Conflict},
			Permission: web.Allow("reconcile", "rollbacks"), Audit: "inventory.reconcile", Wait: reconcileWait,
			Handle: web.To(a.reconcile)},
		{Method: "GET", Path: "/rollback/statistics", Op: "rollbackStatistics", Summary: "How many checkpoints and rollbacks there are",
			Permission: web.Allow("read", "rollbacks"), Handle: web.To(a.rollbackStatistics)},
	}
}

func (a *API) restore(ctx context.Context, in oneID) (web.Notice, error) {
	says := web.Notice("State restored from checkpoint " + in.ID)
	web.Answering(ctx, says)
	_, err := a.Engine.Restore(ctx, in.ID)
	return says, err
}

// reconciledView is what a comparison with the providers came to.
type reconciledView struct {
	Verified   bool     `json:"verified" doc:"every provider has answered"`
	Checked    int      `json:"checked" doc:"resources of the inventory that were compared"`
	Removed    []string `json:"removed" doc:"resources that are at no provider any more" example:"upcloud/server/web-01"`
	Added      []string `json:"added" doc:"servers that an operation made, that are there and were missing" example:"upcloud/server/web-02"`
	Unlisted   []string `json:"unlisted" doc:"servers with a tag that no operation of this service has" example:"upcloud/server/web-03"`
	Unanswered []string `json:"unanswered" doc:"providers that could not be asked, and why" example:"aws: the provider cannot be reached"`
}

func viewReconciled(r rollback.Reconciled) reconciledView {
	list := func(names []string) []string { return append([]string{}, names...) }
	return reconciledView{Verified: r.Verified, Checked: r.Checked, Removed: list(r.Removed), Added: list(r.Added),
		Unlisted: list(r.Unlisted), Unanswered: list(r.Unanswered)}
}

func (a *API) reconcile(ctx context.Context, _ web.None) (reconciledView, error) {
	r, err := a.Engine.Checkpoints.Reconcile(ctx, a.Catalogue, func(r rollback.Reconciled) { web.Answering(ctx, viewReconciled(r)) })
	return viewReconciled(r), err
}

type rollbackStatisticsView struct {
	TotalCheckpoints    int        `json:"total_checkpoints" doc:"checkpoints that there are, automatic ones included"`
	TotalRollbacks      int        `json:"total_rollbacks" doc:"rollbacks that have ended, ever, without those that failed batches began by themselves"`
	SuccessRate         float64    `json:"success_rate" doc:"percent of the rollbacks that could undo everything; 100 when there was none"`
	AverageRollbackTime float64    `json:"average_rollback_time" doc:"seconds from the request to the end; 0 when there was none"`
	Unverified          bool       `json:"unverified" doc:"the inventory was restored and not compared with the providers since"`
	RestoreUnfinished   bool       `json:"restore_unfinished" doc:"the last restore was cut off and has to be made again"`
	RestoredFrom        string     `json:"restored_from,omitempty" doc:"checkpoint of the last restore; absent when there was none" example:"01997b1c-0000-7000-8000-000000000001"`
	RestoredAt          *time.Time `json:"restored_at,omitempty" doc:"when it was restored; absent when there was none"`
	ReconciledAt        *time.Time `json:"reconciled_at,omitempty" doc:"when every provider was last compared with the inventory; absent when never"`
}

func (a *API) rollbackStatistics(ctx context.Context, _ web.None) (rollbackStatisticsView, error) {
	s, err := rollback.StatisticsOf(ctx, a.Engine.DB)
	v := rollbackStatisticsView{TotalCheckpoints: s.Checkpoints, TotalRollbacks: s.Rollbacks, SuccessRate: 100,
		AverageRollbackTime: s.Average.Round(time.Millisecond).Seconds(),
		Unverified:          s.Verification.Unverified, RestoreUnfinished: s.Verification.Unfinished,
		RestoredFrom: s.Verification.Checkpoint, RestoredAt: s.Verification.RestoredAt, ReconciledAt: s.Verification.ReconciledAt}
	if s.Rollbacks > 0 {
		v.SuccessRate = math.Round(1e4*float64(s.Succeeded)/float64(s.Rollbacks)) / 100
	}
	return v, err
}

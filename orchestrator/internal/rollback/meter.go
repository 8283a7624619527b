package rollback

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/obs"
)

// Meter registers whether the inventory is what a restore made of it and nobody has compared it
// with the providers since. A restore and a reconcile of this process keep it up to date.
func (s *Checkpoints) Meter(r *obs.Registry) {
	r.GaugeFunc("orchestrator_inventory_unverified",
		"1 while the inventory was restored and not compared with the providers since (rollback reconcile).", func() float64 {
			if s.unverified.Load() {
				return 1
			}
			return 0
		})
}

// LoadVerification reads for Meter, after a start, whether the inventory is verified.
func (s *Checkpoints) LoadVerification(ctx context.Context) error {
	row, err := run.Verifications().Get(ctx, s.DB, run.VerificationID)
	if err == nil {
		s.unverified.Store(row.Value.Unverified)
	}
	return err
}

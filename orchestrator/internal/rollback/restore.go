package rollback

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// mostChanges is how many changed resources go into one commit: at most three writes each.
const mostChanges = store.MaxWrites/3 - 64

// Restored is what a restore has changed.
type Restored struct {
	Before  string // id of the checkpoint that was taken before
	Changed int    // resources that the inventory gained, lost, or has otherwise now
}

// Restore makes the inventory what it was at a checkpoint (contract Q6). It asks no provider, so
// the inventory counts as unverified until Reconcile has compared it with what is there. History,
// effects and checkpoints stay. Before it changes anything it rebuilds the inventory and compares
// it with the sum of the checkpoint; what does not agree is refused with a fault of kind Conflict.
// The caller sees to it that no run is underway and none begins.
//
// A restore of many resources takes several commits. When it is cut off between them, the same
// restore goes on where it stopped.
func (s *Checkpoints) Restore(ctx context.Context, checkpointID string) (Restored, error) {
	c, err := s.Get(ctx, checkpointID)
	if err != nil {
		return Restored{}, err
	}
	inv, err := s.judge(ctx, c)
	if err != nil {
		return Restored{}, err
	}
	before, own, err := s.take(ctx, run.Checkpoint{Automatic: true, Name: "before the restore of " + c.ID, Description: "taken by itself"})
	if err != nil {
		return Restored{}, err
	}
	left := inv.changes
	for len(left) > mostChanges {
		if err := s.restorePart(ctx, c, left[:mostChanges]); err != nil {
			return Restored{}, err
		}
		left = left[mostChanges:]
	}
	out := Restored{Before: before.ID, Changed: len(inv.changes)}
	act := audit.EntryDraft{Action: "checkpoint.restore", Resource: "checkpoints/" + c.ID,
		Details: map[string]any{"name": c.Name, "before": before.ID, "changed": out.Changed}}
	_, err = audit.Update(ctx, s.DB, &act, func(tx *store.Tx) error {
		if err := s.correct(left, tx.Add); err != nil {
			return err
		}
		tx.Add(own)
		e := created(&before)
		tx.Append(e.Stream, e.Body)
		return s.verification(tx, func(v *run.Verification) { s.restored(v, c.ID) })
	})
	if err == nil {
		s.unverified.Store(true)
	}
	return out, err
}

// Restorable returns why a restore of a checkpoint is refused; nil when it is not.
func (s *Checkpoints) Restorable(ctx context.Context, checkpointID string) error {
	c, err := s.Get(ctx, checkpointID)
	if err == nil {
		_, err = s.judge(ctx, c)
	}
	return err
}

// judge rebuilds the inventory of a checkpoint, and says why a restore of it is refused.
func (s *Checkpoints) judge(ctx context.Context, c run.Checkpoint) (inventoryAt, error) {
	if sum, err := c.Digest(); err != nil || sum != c.Checksum {
		return inventoryAt{}, fault.New(fault.Conflict, "checkpoint.damaged",
			"The checkpoint %s is damaged: what is stored of it does not agree with its checksum. Nothing was changed; use another "+
				"checkpoint.", c.ID)
	}
	if c.RecordOnly {
		return inventoryAt{}, fault.New(fault.Conflict, "checkpoint.record_only",
			"What a restore of the checkpoint %s would need is not kept any more ([retention] checkpoint_effects); it is a record only. "+
				"Nothing was changed; use a later checkpoint.", c.ID)
	}
	inv, err := rebuild(ctx, s.DB, c.Cut)
	if err != nil {
		return inv, err
	}
	// What had not ended at the cut is in its sum and not in what is restored.
	if c.Underway == 0 && (inv.count != c.Resources || inv.sum.String() != c.Hash) {
		return inv, fault.New(fault.Conflict, "checkpoint.not_rebuilt",
			"The inventory of the checkpoint %s cannot be rebuilt: it had %d resources, and the %d that the store gives do not have its "+
				"checksum. Nothing was changed; use another checkpoint.", c.ID, c.Resources, inv.count)
	}
	return inv, nil
}

// restorePart commits some of the changes of a restore that does not fit into one commit.
func (s *Checkpoints) restorePart(ctx context.Context, c run.Checkpoint, changes []difference) error {
	_, err := store.Update(ctx, s.DB, func(tx *store.Tx) error {
		if err := s.correct(changes, tx.Add); err != nil {
			return err
		}
		return s.verification(tx, func(v *run.Verification) {
			s.restored(v, c.ID)
			v.Unfinished = true
		})
	})
	if err == nil {
		s.unverified.Store(true)
	}
	return err
}

// correct adds the writes of changes of the inventory.
func (s *Checkpoints) correct(changes []difference, add func(store.Write)) error {
	for _, one := range changes {
		writes, err := run.Correct(one.row, one.gone, one.rev)
		if err != nil {
			return err
		}
		if one.demand.Key.ID != "" {
			add(one.demand)
		}
		for _, w := range writes {
			add(w)
		}
	}
	return nil
}

// verification changes the one Verification in a transaction.
func (s *Checkpoints) verification(tx *store.Tx, set func(*run.Verification)) error {
	row, err := run.Verifications().Load(tx, run.VerificationID)
	if err != nil {
		return err
	}
	row.Value.ID = run.VerificationID
	set(&row.Value)
	return run.Verifications().Save(tx, row.Value)
}

// restored notes that a checkpoint was restored now.
func (s *Checkpoints) restored(v *run.Verification, checkpointID string) {
	at := s.Now().UTC()
	*v = run.Verification{Checkpoint: checkpointID, ID: v.ID, ReconciledAt: v.ReconciledAt, RestoredAt: &at, Unverified: true}
}

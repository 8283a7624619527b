package dag

import "time"

// Bounds of the automatic checkpoints of one batch (decision 64).
const (
	maxAutoCheckpoints = 10
	autoCheckpointGap  = time.Second
)

// noteCheckpoint has the engine take an automatic checkpoint when another CheckpointInterval
// operations have completed. One that comes too soon behind the last is left out.
func (r *Run) noteCheckpoint() {
	h := &r.Header
	if h.CheckpointInterval == 0 || h.AutoCheckpoints >= maxAutoCheckpoints || h.Counts.Completed%h.CheckpointInterval != 0 ||
		h.AutoCheckpointAt != nil && r.now().Sub(*h.AutoCheckpointAt) < autoCheckpointGap {
		return
	}
	h.AutoCheckpoints++
	h.AutoCheckpointAt = r.nowPointer()
	r.change.Checkpoint = true
}

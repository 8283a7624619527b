package engine

// PauseRollbacks keeps rollbacks from beginning until resume is called. ok is false while one is at
// work, here or in what this process has not taken over yet, and when the engine stops. It
// implements history.Rollbacks, as RollbackEnded does.
func (e *Engine) PauseRollbacks() (resume func(), ok bool) {
	e.pruning.Lock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.tookOver || e.stopped || e.rollbackID != "" {
		e.pruning.Unlock()
		return nil, false
	}
	return e.pruning.Unlock, true
}

// RollbackEnded says whether a rollback has ended since it was last asked.
func (e *Engine) RollbackEnded() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	ended := e.rollbackEnded
	e.rollbackEnded = false
	return ended
}

// awaitPruning waits for a step of history that is being committed. While a rollback is announced,
// no other one follows.
func (e *Engine) awaitPruning() {
	e.pruning.Lock()
	defer e.pruning.Unlock()
}

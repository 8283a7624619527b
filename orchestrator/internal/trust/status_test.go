package trust

// Status is what a Trust knows, for tests.
type Status struct {
	Ready       bool   // keys and policies were ever received
	Fresh       bool   // heard within Staleness
	Policy      uint64 // version of the policy set in force
	Revocations uint64 // place in the revocation stream
	Keys        int
}

// Status returns the present state.
func (t *Trust) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Status{Ready: t.Ready(), Fresh: t.fresh(t.Now()), Revocations: t.after, Keys: t.keys.Len()}
	if set := t.authority.Set(); set != nil {
		s.Policy = set.Version()
	}
	return s
}

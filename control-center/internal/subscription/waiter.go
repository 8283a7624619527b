package subscription

import "sync"

// prefillKey wakes who waits for a subscription whose prefill is pending.
const prefillKey = "prefill"

// waiters are the long polls that wait, by what wakes them: topics, by their digests, and queues,
// by their generations. A wake-up carries nothing: whoever is woken looks.
type waiters struct {
	mu sync.Mutex
	on map[string]map[chan struct{}]struct{}
}

// add returns a channel that gets a value after each wake of one of keys, until remove is called.
func (w *waiters) add(keys []string) (woken chan struct{}, remove func()) {
	woken = make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.on == nil {
		w.on = map[string]map[chan struct{}]struct{}{}
	}
	for _, k := range keys {
		if w.on[k] == nil {
			w.on[k] = map[chan struct{}]struct{}{}
		}
		w.on[k][woken] = struct{}{}
	}
	return woken, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, k := range keys {
			if delete(w.on[k], woken); len(w.on[k]) == 0 {
				delete(w.on, k)
			}
		}
	}
}

// wake wakes those who wait for key.
func (w *waiters) wake(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.on[key] {
		signal(c)
	}
}

// wakeAll wakes everybody: a new topic may be what a pattern asks for.
func (w *waiters) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, waiting := range w.on {
		for c := range waiting {
			signal(c)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // a wake-up waits there already
	}
}

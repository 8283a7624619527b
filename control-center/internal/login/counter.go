package login

import "time"

// The figures of A42 and A35.
const (
	freeFailures  = 10               // wrong passwords in a window before tries are delayed
	failureWindow = 15 * time.Minute // after this long without a failure the count starts anew
	longestDelay  = time.Minute      // no delay grows beyond this, so nobody is locked out for good

	codesPerWindow   = 5               // wrong codes in a window before further codes are not looked at
	codeWindow       = 5 * time.Minute //
	codesBeforeLimit = 50              // consecutive wrong codes that suspend the factor until it is enrolled again
)

// A clock may have been ahead and be corrected. A failure that lies in the future counts as over, so that
// nobody is kept out until the wrong time comes; it gives a guesser one more window for each correction.

// Failures counts the wrong passwords of one account from one place. Times are Unix milliseconds.
// Fields stand in the order of their JSON names because the value is stored.
type Failures struct {
	Count int   `json:"count"`
	Last  int64 `json:"last"`
	Until int64 `json:"until"`
}

// Blocked says whether a try at now is not looked at.
func (f Failures) Blocked(now time.Time) bool {
	ms := now.UnixMilli()
	return f.Last <= ms && ms < f.Until
}

// Failed returns the count after a wrong password at now: from the tenth in a row on, each one
// doubles the pause from 1 s up to a minute. A try that was blocked does not extend the pause.
func (f Failures) Failed(now time.Time) Failures {
	if f.Blocked(now) {
		return f
	}
	ms := now.UnixMilli()
	if ms-f.Last > failureWindow.Milliseconds() || f.Last > ms {
		f = Failures{}
	}
	f.Count++
	f.Last = ms
	if over := f.Count - freeFailures; over >= 0 {
		delay := longestDelay
		if over < 6 {
			delay = time.Second << over
		}
		f.Until = ms + delay.Milliseconds()
	}
	return f
}

// CodeFailures counts the wrong one-time codes of one factor. It survives sessions, methods and
// restarts; only a good code or a new enrolment resets it.
type CodeFailures struct {
	InWindow int   `json:"in_window"` // failures since Since
	Row      int   `json:"row"`       // consecutive failures ever
	Since    int64 `json:"since"`     // start of the window
}

// Blocked says whether a code given at now is not looked at.
func (c CodeFailures) Blocked(now time.Time) bool {
	return c.Suspended() || c.InWindow >= codesPerWindow && c.within(now)
}

// within says whether now is in the window that began at Since.
func (c CodeFailures) within(now time.Time) bool {
	age := now.UnixMilli() - c.Since
	return age >= 0 && age < codeWindow.Milliseconds()
}

// Suspended says whether the factor is out of use until it is enrolled again.
func (c CodeFailures) Suspended() bool { return c.Row >= codesBeforeLimit }

// Failed returns the count after a wrong code at now.
func (c CodeFailures) Failed(now time.Time) CodeFailures {
	if c.Blocked(now) {
		return c
	}
	if !c.within(now) {
		c.InWindow, c.Since = 0, now.UnixMilli()
	}
	c.InWindow++
	c.Row++
	return c
}

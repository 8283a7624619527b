package login

import "time"

// The figures of A42 (wrong passwords) and A35 (wrong codes).
const (
	freeFailures  = 10               // wrong passwords in a window before attempts are delayed
	failureWindow = 15 * time.Minute // after this long without a failure the count starts anew
	longestDelay  = time.Minute      // no delay grows beyond this, so nobody is locked out for good

	codesPerWindow   = 5               // wrong codes in a window before further codes are not looked at
	codeWindow       = 5 * time.Minute //
	codesBeforeLimit = 50              // consecutive wrong codes that suspend the factor until it is enrolled again
)

// Failures counts the wrong passwords of one account from one network. Times are Unix milliseconds.
// Fields stand in the order of their JSON names because the value is stored.
//
// A failure that lies in the future is over: the clock was ahead and has been corrected, and nobody
// is kept out until that time comes. Each correction gives a guesser one more window.
type Failures struct {
	Count int   `json:"count"`
	Last  int64 `json:"last"`
	Until int64 `json:"until"`
}

// Blocked says whether the password of an attempt at now is not checked.
func (f Failures) Blocked(now time.Time) bool {
	ms := now.UnixMilli()
	return f.Last <= ms && ms < f.Until
}

// Failed returns f after a wrong password at now. From the tenth in a row on each one doubles the
// pause, from 1 s to 60 s. An attempt during the pause does not extend it.
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

// CodeFailures counts the wrong one-time codes of one factor, over sessions, methods and restarts.
// Only a good code or a new enrolment sets it to zero. A failure in the future is over, as in
// Failures.
type CodeFailures struct {
	InWindow int   `json:"in_window"` // failures since Since
	Row      int   `json:"row"`       // consecutive failures ever
	Since    int64 `json:"since"`     // start of the window
}

// Blocked says whether a code at now is not checked: after 5 wrong ones in 5 minutes, or when the
// factor is suspended.
func (c CodeFailures) Blocked(now time.Time) bool {
	return c.Suspended() || c.InWindow >= codesPerWindow && c.within(now)
}

// within says whether now is in the window that began at Since.
func (c CodeFailures) within(now time.Time) bool {
	age := now.UnixMilli() - c.Since
	return age >= 0 && age < codeWindow.Milliseconds()
}

// Suspended says whether the factor is out of use until it is enrolled again: after 50 wrong codes
// in a row.
func (c CodeFailures) Suspended() bool { return c.Row >= codesBeforeLimit }

// Failed returns c after a wrong code at now.
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

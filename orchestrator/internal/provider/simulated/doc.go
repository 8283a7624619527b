// Package simulated is the driver without infrastructure: it keeps servers in memory, and on
// request is slow, throttles, fails, or loses its answers, as configured. With nothing configured a
// call costs next to nothing, so it is also the no-op of benchmarks.
//
// It runs no commands: a command "succeeds" at once with no output, unless a fault says otherwise.
//
// The one rule: what it did is judged by its own records (State, Calls), which are written before
// the answer is given, so a test that kills the orchestrator can ask what the provider saw.
package simulated

// Package app wires the control-center: configuration, the store, every component in one literal
// each, and the commands that need no running service. It holds no logic of its own.
//
// The one rule a caller must know: a component gets what it needs as fields of its literal here,
// and nothing is global.
package app

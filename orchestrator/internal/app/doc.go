// Package app wires the orchestrator: configuration, the store, every component in one literal
// each, and the commands that need no running service. It holds no logic of its own.
//
// The one rule: a component gets what it needs as fields here, and nothing is global.
package app

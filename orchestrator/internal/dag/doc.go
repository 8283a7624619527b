// Package dag is the pure core of the orchestrator.
package dag

// Package ops is the worker's HTTP port for operators: metrics, health and
// readiness, and what stands behind them: probes of the dependencies and the
// state of the queue, both asked in the background and never by a scrape.
package ops

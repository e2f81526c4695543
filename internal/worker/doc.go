// Package worker runs tasks: a bounded pool of slots, each with one delivery
// at a time, one deadline with a cause, a heartbeat and a panic barrier.
//
// Every delivery leaves through one function, settle: it writes the outcome
// into the run record, then the terminal record, the legacy events, the end of
// the log and the acknowledgement, in this order, so that a crash between any
// two of them is completed from the record by whoever gets the task next. The
// package knows nothing of NATS, payloads or the steps of a task.
package worker

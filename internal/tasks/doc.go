// Package tasks is the vocabulary of dispatchd: what a task is, how its JSON is
// decoded, defaulted and validated, the steps that carry out each kind of
// task, the ports those steps need, and the one table of failures.
//
// It imports nothing but the standard library. Adapters (git, buildkit, nomad
// and so on) implement its ports; the worker runs its steps and publishes
// their outcome.
package tasks

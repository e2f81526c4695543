// Package planner makes build plans out of source trees that have no
// Dockerfile, with the programs nixpacks and railpack.
//
// A program reads the tree and writes into a folder of the task's own; it never
// writes into the tree, and it starts no build: internal/buildkit does, from
// the tasks.BuildPlan that comes back. It runs with an environment of a few
// named variables, a fresh HOME and in a process group of its own, which is
// gone when Plan returns.
//
// Secrets are not given to the programs at all. What is no secret (build
// arguments, the static build environment, the two commands) stands in their
// arguments.
//
// The programs need not be there: Plan then fails with builder_missing.
package planner

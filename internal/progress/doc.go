// Package progress shows a person how far a task is: a Terminal redraws the
// running step in place, a Plain writes lines for a pipe or a file.
//
// Both are tasks.Reporters. They cut the steps' output into lines, make each
// safe for a terminal, hide secrets in it, and never fail or block a step.
// Who makes one calls End when the work has ended; nothing is shown afterwards.
package progress

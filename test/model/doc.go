// Package model is the protocol behind the first promise as a machine so small
// that all that a few faults can make of it can be visited: two workers and a sweeper, or a
// run-once and two sweepers, on one job; each of their requests may be served, or
// be given up and served at any time later; leases, deliveries and signs of life
// may end at any moment; anybody may die, messages may be deleted, a cancel may
// come. It is written from docs/architecture.md and the doc comments of the rooms
// worker, queue and events, and shares no code with them: it says whether the
// rules suffice, the tests in test/chaos whether the code follows them.
//
// What is left out: more than one job, and tasks of several; the heartbeat, which
// renews what a step renews here; attempts, deadlines and who gives up after how
// many tries; a deleted bucket; what a backend's stream forgets; and time, so
// that every wait that is there for comfort (the beats for which nothing of a run
// was seen, the grace after a reconnect) may be as short as you like here. One
// assumption about time is left: whoever looks at its own clock and then makes a
// side effect does not stall between the two for longer than the margin of its
// lease (docs/guarantees.md says what protects that window).
package model

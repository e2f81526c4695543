// Package desk is the operator's view: what waits, what runs and why, what has
// become of one task, which workers live, and the dead letters. Beside that it
// has the few things that an operator does: cancel a task, requeue or drop a
// dead letter.
//
// It reads JetStream alone, at the leaders of the streams, so that it works when
// no worker does and is never behind them. It makes no consumer, and looking
// changes nothing. What it costs is bounded: the names of what waits are listed
// once, and messages are read for the rows that are shown.
package desk

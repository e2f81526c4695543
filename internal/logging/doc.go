// Package logging sets up dispatchd's own structured log: zap, with every
// message and every field through a Redactor before it is encoded.
//
// New makes the process's logger. WithRedactor makes a task's child logger,
// which hides that task's secrets too. Components get a *zap.Logger and need
// not know that anything is hidden.
package logging

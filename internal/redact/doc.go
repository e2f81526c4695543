// Package redact holds what must not reach a viewer: the values that are
// secret, in every form a program is likely to print them in, and the control
// codes that would let one log line rewrite another.
//
// A Redactor knows secrets and hides them in strings, bytes and streams. URL
// hides what an address carries beside its place. CleanLine makes one log line
// safe for a terminal. Removing control codes can join the halves of a secret,
// so clean a line first and redact it afterwards.
//
// The package imports nothing but the standard library and logs nothing.
package redact

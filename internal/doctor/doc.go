// Package doctor asks everything that a worker needs whether it will do: the
// settings, the servers, what our credentials may, and which versions stand
// there. It changes nothing anywhere.
//
// A check asks one dependency and returns one Result for each thing that it
// looked at, with the option and the fix where something is wrong. All checks
// run at once, each within its own time, so that an answer comes within ten
// seconds however many servers are away.
package doctor

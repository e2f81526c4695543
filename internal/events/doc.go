// Package events is what the world hears of a task: the legacy status events
// and build logs, byte for byte as backends have always read them, the richer
// run events, and the terminal record that lets a task end only once.
//
// A settlement's messages are composed before the outcome is recorded, so that
// whoever completes it after a crash says the same bytes.
package events

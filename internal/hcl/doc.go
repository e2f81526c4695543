// Package hcl writes and reads the configuration of one deployment:
// cloudstation.hcl says how the app is built, pushed and deployed, and vars.hcl
// holds the variables that its deploy pack receives.
//
// Both are made from a tree of typed values, never from text: a user's string
// is a value and nothing else, whatever it holds. What was written is parsed
// again and compared value by value before it is returned. HCL holds only
// valid UTF-8 in Unicode's normal form NFC, in escapes too; a text that is
// something else cannot be carried and is an error that names its place.
//
// The package is pure. It runs between the clone and the build, and once more
// for vars.hcl when the image's digest and ports are known.
package hcl

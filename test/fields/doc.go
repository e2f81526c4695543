// Package fields lists every param of a deploy task, each with a task that sets
// it. Its own test holds what the param changes (cloudstation.hcl, vars.hcl, the
// job) to testdata, one difference a param, and docs/fields.md to all of them;
// the e2e suite lets a real Nomad parse and plan the same tasks. A param without
// an entry fails the test.
package fields

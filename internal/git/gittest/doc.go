// Package gittest serves real git repositories over HTTP on this machine, as
// a provider does: with tokens, unknown repositories and hostile contents. It
// is for tests and for the demo, needs the git program with its http-backend,
// and knows nothing of the testing package.
package gittest

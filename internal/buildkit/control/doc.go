// Package control speaks BuildKit's control API: as much of it as a build from
// a source tree needs, and no more.
//
// A build is four calls at once: a session over which the daemon asks for files
// and credentials, the solve that exports, the frontend's part of it whose
// result holds the image's config, and the progress. Build starts all four and
// returns when all have ended.
//
// BuildKit's own Go client does the same, and more that is not needed here; see
// docs/decisions/0017-own-buildkit-client.md.
package control

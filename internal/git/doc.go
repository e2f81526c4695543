// Package git puts one revision of one repository into a directory with the
// git program (2.32 or later), without hooks, filters or any configuration but
// its own; then its submodules, each by the same rules, and the files that LFS
// keeps elsewhere, with a client of our own.
//
// It is the first step of a deployment from a repository. What a task says
// about its source is checked before anything is started (source.go), and so
// is what the repository says about others (submodule_policy.go).
//
// A token reaches git in the environment, as a header for the provider's host
// and port alone; a deploy key reaches ssh as a file in memory. Neither stands
// in an argument, URL or file. A process of the same user can read them while
// git runs, as it could read the memory of dispatchd itself.
//
// The directory that comes out holds no .git unless the history was asked for:
// nothing of the clone's settings can reach an image.
package git

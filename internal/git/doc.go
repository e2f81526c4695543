// Package git puts one revision of one repository into a directory with the
// git program (2.32 or later), over HTTPS, shallow and without submodules,
// hooks, filters or any configuration but its own.
//
// It is the first step of a deployment from a repository. What a task says
// about its source is checked before anything is started (source.go). The
// token reaches git in the environment, as a header for the provider's host and
// port alone: it stands in no argument, URL or file. A process of the same user
// can read it in /proc/<pid>/environ while git runs, as it could read the
// memory of dispatchd itself.
//
// The directory that comes out holds no .git: nothing of the clone's settings
// can reach an image, and nobody can run git on a stranger's repository later.
package git

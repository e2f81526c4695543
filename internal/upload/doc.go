// Package upload puts the tree of an uploaded archive into a directory: a tar,
// a gzipped tar or a zip, told apart by its content.
//
// It is the first step of a deployment from an upload, in git's place. The
// address comes with the task, so only hosts that the operator has named are
// asked, redirects included, and none of our credentials goes along. What
// authorises the reader stands in the address's query, which no log and no
// error repeats.
//
// An archive is a stranger's program for writing files. It is downloaded as a
// whole first, read within limits on bytes, entries and time, and written
// beneath an os.Root. Regular files, directories and links that stay inside are
// all that it can make; anything else ends with the entry's name and nothing
// left behind.
package upload

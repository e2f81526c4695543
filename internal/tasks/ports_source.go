package tasks

import "context"

// Upload is a source tree that somebody has uploaded as an archive.
type Upload struct {
	// URL is where the archive is; what authorises the reader may stand in it,
	// so it is never shown.
	URL Secret
	// ID is the platform's name for the upload; it may be empty.
	ID string
	// Paths are those of the tree that the task names: an archive's only
	// directory is left out unless one of them begins with it.
	Paths []string
}

// Uploads put an uploaded archive's tree into a directory that does not exist
// yet. Errors are *Failure with a source_… reason. A second try starts afresh.
type Uploads interface {
	Unpack(ctx context.Context, from Upload, dir string, rep Reporter) error
}

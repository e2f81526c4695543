// Package packs holds the deploy packs that dispatchd carries with it, as
// plain files in nomad-pack's format. internal/pack renders them.
package packs

import (
	"embed"
	"io/fs"
)

//go:embed all:cloudstation
var files embed.FS

// Files returns the embedded packs: one directory each.
func Files() fs.FS { return files }

package control

import (
	"context"
	"fmt"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

// Build is what the daemon is asked for.
type Build struct {
	// Frontend and Attrs say how the image is described, and where.
	Frontend string
	Attrs    map[string]string
	// Mounts are the file systems that the daemon may read, by their names.
	Mounts map[string]fsutil.FS
	// SharedKey is what the daemon keeps the mounts' files under between builds.
	SharedKey string
	// Services answer the daemon's other questions during the build.
	Services []session.Attachable
	// Exports is empty where the image stays in the daemon's cache.
	Exports []Export
}

// Export is what becomes of the image.
type Export struct {
	// Type is image or docker, the name of one of the daemon's exporters.
	Type  string
	Attrs map[string]string
	// Output takes what the exporter writes; nil where it writes to no client.
	Output filesync.FileOutputFunc
}

// session makes the session that serves the build; nothing is sent yet.
func (b Build) session(ctx context.Context) (*session.Session, error) {
	s, err := session.NewSession(ctx, b.SharedKey)
	if err != nil {
		return nil, fmt.Errorf("make the build's session: %w", err)
	}
	mounts := filesync.StaticDirSource{}
	for name, mount := range b.Mounts {
		if mounts[name], err = fsutil.NewFilterFS(mount, &fsutil.FilterOpt{Map: ownedByRoot}); err != nil {
			return nil, fmt.Errorf("open the mount %s: %w", name, err)
		}
	}
	s.Allow(filesync.NewFSSyncProvider(mounts))
	for i, export := range b.Exports {
		if export.Output != nil {
			s.Allow(filesync.NewFSSyncTarget(filesync.WithFSSync(i, export.Output)))
		}
	}
	for _, service := range b.Services {
		s.Allow(service)
	}
	return s, nil
}

// ownedByRoot hides who owns a file here: an image must not depend on that.
func ownedByRoot(_ string, stat *types.Stat) fsutil.MapResult {
	stat.Uid, stat.Gid = 0, 0
	return fsutil.MapResultKeep
}

// request has the frontend's attributes, too, so that the daemon's record of
// the build names it. Without a frontend the daemon waits for what this client
// returns over the gateway.
func (r *running) request() *controlapi.SolveRequest {
	request := &controlapi.SolveRequest{
		Ref: r.ref, Session: r.session.ID(), FrontendAttrs: r.build.Attrs, Cache: &controlapi.CacheOptions{},
	}
	for _, export := range r.build.Exports {
		request.Exporters = append(request.Exporters, &controlapi.Exporter{Type: export.Type, Attrs: export.Attrs})
	}
	return request
}

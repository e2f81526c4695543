package buildkit

import (
	"context"
	"io"
	"strings"
	"sync"

	"github.com/dispatchd/dispatchd/internal/buildkit/control"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
)

// loading is the way of one built image into a Docker daemon: what the builder
// exports is what the daemon reads, and no file lies between them.
type loading struct {
	docker *dockerDaemon
	ref    imageRef
	to     *io.PipeWriter
	from   *io.PipeReader
	// begun is closed when the builder begins to export.
	begun chan struct{}
	once  sync.Once
}

func newLoading(docker *dockerDaemon, ref imageRef) *loading {
	from, to := io.Pipe()
	return &loading{docker: docker, ref: ref, to: to, from: from, begun: make(chan struct{})}
}

// export is the export that writes into the daemon.
func (l *loading) export() control.Export {
	return control.Export{
		Type:  "docker",
		Attrs: map[string]string{"name": l.ref.named.Name() + ":" + l.ref.tag},
		Output: func(map[string]string) (io.WriteCloser, error) {
			l.once.Do(func() { close(l.begun) })
			return l.to, nil
		},
	}
}

// while loads what the build exports, and returns when both have ended. A nil
// loading only builds.
func (l *loading) while(ctx context.Context, build func() error) error {
	if l == nil {
		return build()
	}
	var loaded error
	done, over := make(chan struct{}), make(chan struct{})
	var working sync.WaitGroup
	working.Go(func() {
		select {
		case <-l.begun:
			loaded = l.docker.load(ctx, l.from)
		case <-over:
		}
		close(done)
		_ = l.from.CloseWithError(io.ErrClosedPipe)
	})
	built := build()
	refused := isClosed(done)
	if built != nil {
		_ = l.to.CloseWithError(io.ErrUnexpectedEOF)
	}
	close(over)
	working.Wait()
	// Where the daemon ended first, the build failed because nobody read on;
	// where the build did, the daemon was given half an image.
	if built != nil && !refused || loaded == nil {
		return built
	}
	return loaded
}

func isClosed(channel <-chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}

// name makes the image one that a job can name. Nomad pulls whatever has the
// tag latest, even where the daemon has it, so that one gets another tag.
func (l *loading) name(ctx context.Context, image tasks.Image, a control.Result) (tasks.Image, error) {
	if l == nil {
		return image, nil
	}
	image.Loaded, image.Unresolved = true, ""
	_, id, _ := strings.Cut(a.Export[exptypes.ExporterImageConfigDigestKey], ":")
	if image.Tag != defaultTag || id == "" {
		return image, nil
	}
	tag := "build-" + id[:min(12, len(id))]
	if err := l.docker.tag(ctx, image.Name+":"+image.Tag, image.Name, tag); err != nil {
		return tasks.Image{}, err
	}
	image.Tag = tag
	return image, nil
}

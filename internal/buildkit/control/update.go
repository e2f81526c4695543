package control

import (
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Update is what has changed in a build since the last one.
type Update struct {
	Vertexes []*Vertex
	Statuses []*VertexStatus
	Logs     []*VertexLog
	Warnings []*VertexWarning
}

// Vertex is one of the daemon's own steps. It is named by its digest, and the
// same one may be told several times, each time further.
type Vertex struct {
	Digest string
	Name   string
	// Started and Completed are nil until then.
	Started, Completed *time.Time
	Cached             bool
	// Error is empty where it did not fail.
	Error string
	// ProgressGroup is set where several are one step to a reader.
	ProgressGroup *pb.ProgressGroup
}

// VertexStatus is how far one part of a vertex is, a transfer for example.
type VertexStatus struct {
	ID, Vertex         string
	Name               string
	Total, Current     int64
	Timestamp          time.Time
	Started, Completed *time.Time
}

// VertexLog is a piece of what a vertex's program has written.
type VertexLog struct {
	Vertex    string
	Stream    int
	Data      []byte
	Timestamp time.Time
}

// VertexWarning is what the frontend finds questionable.
type VertexWarning struct {
	Vertex string
	Short  []byte
}

func newUpdate(resp *controlapi.StatusResponse) *Update {
	update := &Update{}
	for _, v := range resp.GetVertexes() {
		update.Vertexes = append(update.Vertexes, &Vertex{
			Digest: v.GetDigest(), Name: v.GetName(), Started: timeOf(v.GetStarted()), Completed: timeOf(v.GetCompleted()),
			Cached: v.GetCached(), Error: v.GetError(), ProgressGroup: v.GetProgressGroup(),
		})
	}
	for _, s := range resp.GetStatuses() {
		update.Statuses = append(update.Statuses, &VertexStatus{
			ID: s.GetID(), Vertex: s.GetVertex(), Name: s.GetName(), Total: s.GetTotal(), Current: s.GetCurrent(),
			Timestamp: s.GetTimestamp().AsTime(), Started: timeOf(s.GetStarted()), Completed: timeOf(s.GetCompleted()),
		})
	}
	for _, l := range resp.GetLogs() {
		update.Logs = append(update.Logs, &VertexLog{
			Vertex: l.GetVertex(), Stream: int(l.GetStream()), Data: l.GetMsg(), Timestamp: l.GetTimestamp().AsTime(),
		})
	}
	for _, w := range resp.GetWarnings() {
		update.Warnings = append(update.Warnings, &VertexWarning{Vertex: w.GetVertex(), Short: w.GetShort()})
	}
	return update
}

// timeOf is nil where nothing was said.
func timeOf(stamp *timestamppb.Timestamp) *time.Time {
	if stamp == nil {
		return nil
	}
	at := stamp.AsTime()
	return &at
}

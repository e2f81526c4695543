package queue

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/worker"
)

// What follows is for those who look at the queue from outside: names, and how
// to read what stands under them.

// HeaderRequeuedFrom names the task whose dead letter a request was made from.
const HeaderRequeuedFrom = "Dispatch-Requeued-From"

// Consumer is the name of the one consumer that all workers share.
func (t Topology) Consumer() string { return consumerName }

// DeadLetterSubject is where the dead letters of an id stand; "*" is every id.
func (t Topology) DeadLetterSubject(id string) string { return t.deadLetterSubject(id) }

// TaskParts returns the kind, target and id that a task's subject names; false
// where it has not that form.
func (t Topology) TaskParts(subject string) (kind, target, id string, ok bool) {
	return t.taskParts(subject)
}

// AllTasks is the filter of every message in the work queue.
func (t Topology) AllTasks() string { return t.subject("task", ">") }

// KeySubject is where a key of a bucket stands; ">" is every key.
func KeySubject(bucket, key string) string { return "$KV." + bucket + "." + key }

// IsMarker reports whether a message of a bucket's stream is what a tool leaves of a
// key that it has deleted. The header is that of the client libraries (ADR-8).
func IsMarker(header nats.Header) bool { return header.Get("KV-Operation") != "" }

// BucketStream is the stream behind a bucket.
func BucketStream(bucket string) string { return "KV_" + bucket }

// The first token of the keys in the bucket of leases.
const (
	TargetKeys = "target."
	WorkerKeys = "worker."
)

// TargetKey is the lease of a job.
func TargetKey(job string) string { return targetKey(job) }

// WorkerKey is where a worker's sign of life stands.
func WorkerKey(id string) string { return workerKey(id) }

// OnceKey is where the sign of life of the run-once of a task stands.
func OnceKey(taskID string) string { return onceKey(taskID) }

// OpenRun is a run record with the time of its first claim; that is zero where
// the record is the first claim's own message.
type OpenRun struct {
	worker.Run
	FirstClaim time.Time
}

// DecodeRun reads a run record.
func DecodeRun(body []byte) (OpenRun, error) {
	var rec record
	if err := json.Unmarshal(body, &rec); err != nil {
		return OpenRun{}, fmt.Errorf("read the run record: %w", err)
	}
	return OpenRun{Run: rec.Run, FirstClaim: rec.FirstClaim}, nil
}

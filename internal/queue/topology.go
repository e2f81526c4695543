package queue

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// consumerName is the one durable consumer that all workers share.
	consumerName = "dispatchd"
	// maxWaiting is how many slots of all workers may wait for a message at once.
	maxWaiting = 2048
	// eventsAge and deadLetterAge are how long records are kept.
	eventsAge     = 90 * 24 * time.Hour
	deadLetterAge = 14 * 24 * time.Hour
)

// Pace is how fast workers notice each other's end. The zero value is what
// production has; only tests have another.
type Pace struct {
	// AckWait is how long a delivery may go without a sign of life; 30 s.
	AckWait time.Duration
	// LeaseTTL is how long a lease lasts; 25 s. It is less than AckWait, so that a
	// dead worker's lease is gone when its message comes back.
	LeaseTTL time.Duration
}

// withDefaults fills what is not set.
func (p Pace) withDefaults() Pace {
	if p.AckWait <= 0 {
		p.AckWait = 30 * time.Second
	}
	if p.LeaseTTL <= 0 {
		p.LeaseTTL = 25 * time.Second
	}
	return p
}

// Beat is the time between two signs of life, a third of what a lease lasts.
func (p Pace) Beat() time.Duration { return p.withDefaults().LeaseTTL / 3 }

// margin is how much earlier than the server our own clock ends a lease: what
// a renewal may be under way, and what two clocks may drift in that time.
func (p Pace) margin() time.Duration { return p.withDefaults().LeaseTTL / 5 }

// Topology names everything of ours on a NATS server.
type Topology struct {
	// Prefix is the legacy subject prefix without its dot; may be empty. It is
	// part of every name, so that two prefixes share one account.
	Prefix string
	// Root is the first token of our own subjects; "dispatch" where empty.
	Root string
	// Replicas is how many servers keep each stream: 1, 3 or 5.
	Replicas int
	Pace     Pace
}

// Tasks is the name of the work queue's stream.
func (t Topology) Tasks() string { return t.name("DISPATCH_TASKS") }

// Events is the name of the stream of terminal records and run events.
func (t Topology) Events() string { return t.name("DISPATCH_EVENTS") }

// DeadLetters is the name of the dead letters' stream.
func (t Topology) DeadLetters() string { return t.name("DISPATCH_DLQ") }

// Runs is the name of the bucket of run records.
func (t Topology) Runs() string { return t.name("dispatch_run") }

// Leases is the name of the bucket of leases.
func (t Topology) Leases() string { return t.name("dispatch_lease") }

var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9_-]`)

// Inbox is where the answers to one kind of client come back to, by the name that
// it has without a prefix: who may hear those of one prefix hears no other's.
func (t Topology) Inbox(unprefixed string) string {
	const root = "_INBOX."
	return root + t.name(strings.TrimPrefix(unprefixed, root))
}

// name puts the prefix before a name. A prefix that holds a dot cannot stand
// in a name as it is, and must not read like another one.
func (t Topology) name(base string) string {
	if t.Prefix == "" {
		return base
	}
	safe := unsafeInName.ReplaceAllString(t.Prefix, "_")
	if safe != t.Prefix {
		sum := sha256.Sum256([]byte(t.Prefix))
		safe += "_" + hex.EncodeToString(sum[:4])
	}
	return safe + "_" + base
}

// subject joins the prefix, our root and the given tokens.
func (t Topology) subject(tokens ...string) string {
	root := t.Root
	if root == "" {
		root = "dispatch"
	}
	parts := append([]string{root}, tokens...)
	if t.Prefix != "" {
		parts = append([]string{t.Prefix}, parts...)
	}
	return strings.Join(parts, ".")
}

// TaskSubject is where a task is published.
func (t Topology) TaskSubject(kind, target, id string) string {
	return t.subject("task", kind, target, id)
}

func (t Topology) deadLetterSubject(id string) string { return t.subject("dlq", id) }

// tasksStream keeps each (task, target, id) once at a time, also after the
// dedupe window, and hands it to one worker.
func (t Topology) tasksStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: t.Tasks(), Subjects: []string{t.subject("task", ">")},
		Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Replicas: t.Replicas,
		Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, MaxMsgsPerSubject: 1,
		Description: "dispatchd: tasks that wait or run",
	}
}

func (t Topology) consumer() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: consumerName, AckPolicy: jetstream.AckExplicitPolicy, AckWait: t.Pace.withDefaults().AckWait,
		MaxDeliver: -1, MaxAckPending: -1, MaxWaiting: maxWaiting,
		Description: "dispatchd: every worker fetches from here",
	}
}

// eventsStream is read at its leader alone: a direct get may be stale.
func (t Topology) eventsStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:      t.Events(),
		Subjects:  []string{t.subject("done", "*"), t.subject("event", ">"), t.subject("cancel", "*")},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: t.Replicas, MaxAge: eventsAge,
		Description: "dispatchd: terminal records, run events and cancel requests",
	}
}

func (t Topology) deadLetterStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: t.DeadLetters(), Subjects: []string{t.subject("dlq", "*")},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: t.Replicas, MaxAge: deadLetterAge,
		Description: "dispatchd: tasks that could not be read",
	}
}

// bucketStream is the stream of a key-value bucket, with two differences from
// what the client library makes: it is read at its leader alone, and a record
// is deleted by its sequence, so that no marker stays behind for each task.
func (t Topology) bucketStream(bucket string, ttl time.Duration) jetstream.StreamConfig {
	window := 2 * time.Minute
	if ttl > 0 {
		window = min(window, ttl)
	}
	return jetstream.StreamConfig{
		Name: "KV_" + bucket, Subjects: []string{"$KV." + bucket + ".>"},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: t.Replicas,
		MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, AllowRollup: true, MaxAge: ttl, Duplicates: window,
		Description: "dispatchd: bucket " + bucket,
	}
}

// records are the streams that every way of running a task needs.
func (t Topology) records() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{t.eventsStream(), t.bucketStream(t.Runs(), 0), t.bucketStream(t.Leases(), t.Pace.withDefaults().LeaseTTL)}
}

// service are the streams that only the service needs.
func (t Topology) service() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{t.tasksStream(), t.deadLetterStream()}
}

// taskTokens is how many tokens a task's subject has.
func (t Topology) taskTokens() int {
	return strings.Count(t.TaskSubject("task", "target", "id"), ".") + 1
}

// taskParts returns the kind, target and id that a task's subject names; false
// where it has not that form.
func (t Topology) taskParts(subject string) (kind, target, id string, ok bool) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != t.taskTokens() {
		return "", "", "", false
	}
	last := tokens[len(tokens)-3:]
	return last[0], last[1], last[2], true
}

// hashToken names what has no name that can stand in a subject.
func hashToken(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "x" + hex.EncodeToString(sum[:16])
}

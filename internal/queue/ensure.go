package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// minServer is the oldest server whose features suffice.
const minServer = "2.10.0"

// codeSubjectOverlap is the server's code for "subjects overlap with an
// existing stream".
const codeSubjectOverlap = 10065

// setupTimeout bounds each request of the setup.
const setupTimeout = 5 * time.Second

// EnsureService makes what the service needs and is missing, and refuses what
// is there but does not fit, with a sentence that says what to change.
func EnsureService(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, t Topology) error {
	if err := checkServer(nc); err != nil {
		return err
	}
	if err := ensure(ctx, js, slices.Concat(t.records(), t.service())); err != nil {
		return err
	}
	return ensureConsumer(ctx, js, t)
}

// EnsureRecords makes and checks what one task needs: the terminal records and
// the run records.
func EnsureRecords(ctx context.Context, js jetstream.JetStream, t Topology) error {
	return ensure(ctx, js, t.records())
}

func checkServer(nc *nats.Conn) error {
	version := nc.ConnectedServerVersion()
	if olderThan(version, minServer) {
		return fmt.Errorf("the NATS server is version %s: dispatchd needs %s or newer; upgrade the server", version, minServer)
	}
	return nil
}

// olderThan compares the numbers of two versions; a suffix is left out.
func olderThan(version, floor string) bool {
	parse := func(v string) (n [3]int) {
		v, _, _ = strings.Cut(v, "-")
		_, _ = fmt.Sscanf(v, "%d.%d.%d", &n[0], &n[1], &n[2])
		return n
	}
	a, b := parse(version), parse(floor)
	return slices.Compare(a[:], b[:]) < 0
}

func ensure(ctx context.Context, js jetstream.JetStream, streams []jetstream.StreamConfig) error {
	for _, want := range streams {
		if err := ensureStream(ctx, js, want); err != nil {
			return err
		}
	}
	return nil
}

// setupTries bounds how often a request of the setup is made: a replicated stream
// that another worker has just made, or that has lost its leader, gives no answer
// until it has one.
const setupTries = 4

// patiently repeats a request that gets no answer.
func patiently(ctx context.Context, do func(context.Context) error) error {
	for try := 1; ; try++ {
		bounded, cancel := context.WithTimeout(ctx, setupTimeout)
		err := do(bounded)
		cancel()
		if try == setupTries || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) error {
	return patiently(ctx, func(ctx context.Context) error { return ensureStreamOnce(ctx, js, want) })
}

func ensureStreamOnce(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) error {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, want)
	}
	if err != nil {
		return explain(want, err)
	}
	return fits(want, stream.CachedInfo().Config)
}

// explain turns a server's answer into what the operator can do.
func explain(want jetstream.StreamConfig, err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("JetStream is not enabled for this account: enable it on the NATS server: %w", err)
	case errors.As(err, &api) && api.ErrorCode == codeSubjectOverlap:
		return fmt.Errorf("make stream %s: another stream covers some of its subjects (%s); take them out of that stream, or set DISPATCHD_SUBJECT_ROOT to another first token: %w",
			want.Name, strings.Join(want.Subjects, ", "), err)
	default:
		return fmt.Errorf("make or read stream %s: %w", want.Name, err)
	}
}

// fits compares what must not differ; replicas and size are the operator's, and
// the age but for the buckets: that of the leases is how long one lasts, and a run
// must not end while nobody has ended it.
func fits(want, got jetstream.StreamConfig) error {
	var wrong []string
	check := func(what string, want, got any) {
		if want != got {
			wrong = append(wrong, fmt.Sprintf("%s is %v and must be %v", what, got, want))
		}
	}
	check("retention", want.Retention, got.Retention)
	check("discard policy", want.Discard, got.Discard)
	check("discard new per subject", want.DiscardNewPerSubject, got.DiscardNewPerSubject)
	check("subjects", sorted(want.Subjects), sorted(got.Subjects))
	if want.MaxMsgsPerSubject != 0 {
		check("messages per subject", want.MaxMsgsPerSubject, got.MaxMsgsPerSubject)
	}
	isBucket := strings.HasPrefix(want.Name, BucketStream(""))
	if isBucket {
		check("age", want.MaxAge, got.MaxAge)
	}
	if got.AllowDirect {
		wrong = append(wrong, "direct gets are allowed and must not be")
	}
	if len(wrong) == 0 {
		return nil
	}
	remedy := "change or delete it"
	if isBucket {
		remedy = "change it with `nats stream edit`" // what it holds is at work
	}
	return fmt.Errorf("stream %s does not fit: %s; %s", want.Name, strings.Join(wrong, "; "), remedy)
}

func sorted(subjects []string) string {
	subjects = slices.Clone(subjects)
	slices.Sort(subjects)
	return strings.Join(subjects, ", ")
}

func ensureConsumer(ctx context.Context, js jetstream.JetStream, t Topology) error {
	return patiently(ctx, func(ctx context.Context) error { return ensureConsumerOnce(ctx, js, t) })
}

func ensureConsumerOnce(ctx context.Context, js jetstream.JetStream, t Topology) error {
	want := t.consumer()
	consumer, err := js.Consumer(ctx, t.Tasks(), consumerName)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = js.CreateConsumer(ctx, t.Tasks(), want)
	}
	if err != nil {
		return fmt.Errorf("make or read consumer %s of stream %s: %w", consumerName, t.Tasks(), err)
	}
	return consumerFits(t, consumer.CachedInfo().Config)
}

// consumerFits compares what must not differ.
func consumerFits(t Topology, got jetstream.ConsumerConfig) error {
	want := t.consumer()
	if got.AckPolicy != want.AckPolicy || got.AckWait != want.AckWait || got.MaxAckPending != want.MaxAckPending || got.MaxDeliver != want.MaxDeliver ||
		got.FilterSubject != "" || len(got.FilterSubjects) > 0 || got.PauseUntil != nil {
		return fmt.Errorf("consumer %s of stream %s does not fit: it must have explicit acks, an ack wait of %s, no filter, no pause and no limits of deliveries or pending acks; delete it, and it is made anew",
			consumerName, t.Tasks(), want.AckWait)
	}
	return nil
}

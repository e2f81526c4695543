package traces

import (
	"context"
	"fmt"
	"sync"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/zap"
)

const (
	// queueSize is how many ended spans may wait; batchSize is how many go out at
	// once, and batchDelay how long the first of them waits for others.
	queueSize  = 2048
	batchSize  = 512
	batchDelay = 5 * time.Second
)

// Options are what a tracer is made of.
type Options struct {
	Settings Settings
	// Version and Instance are the resource's service.version and
	// service.instance.id.
	Version  string
	Instance string
	// BatchDelay is how long an ended span waits for others; 5 s where 0.
	BatchDelay time.Duration
	// RetryFirst is the wait before the first repetition of a request; 1 s where 0.
	RetryFirst time.Duration
	Log        *zap.Logger
	Metrics    *Metrics
}

// Tracer makes spans and sends them. A nil *Tracer makes none.
type Tracer struct {
	sampler sampler
	queue   chan *tracepb.Span
	metrics *Metrics

	stop   chan struct{}
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// New starts a tracer, whose one goroutine ends with Close. It returns nil
// where the settings name no endpoint, and every problem of the settings as
// Validate does.
func New(ctx context.Context, o Options) (*Tracer, error) {
	if err := o.Settings.Validate(); err != nil || !o.Settings.Enabled() {
		return nil, err
	}
	keep, err := o.Settings.sampler()
	if err != nil {
		return nil, err
	}
	sender, err := newSender(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &Tracer{
		sampler: keep, queue: make(chan *tracepb.Span, queueSize), metrics: o.Metrics,
		stop: make(chan struct{}), cancel: cancel,
	}
	if o.BatchDelay <= 0 {
		o.BatchDelay = batchDelay
	}
	t.done.Go(func() { t.run(ctx, sender, o.BatchDelay) })
	return t, nil
}

// offer queues an ended span. It never blocks.
func (t *Tracer) offer(span *tracepb.Span) {
	select {
	case t.queue <- span:
	default:
		t.metrics.lost(lostQueueFull, 1)
	}
}

// Close sends what is queued for as long as ctx allows and ends the tracer.
// Call it once, when no span is begun any more; spans that end after it are lost.
func (t *Tracer) Close(ctx context.Context) {
	if t == nil {
		return
	}
	close(t.stop)
	release := context.AfterFunc(ctx, t.cancel)
	t.done.Wait()
	release()
	t.cancel()
}

// run sends batches until Close.
func (t *Tracer) run(ctx context.Context, sender *sender, delay time.Duration) {
	ticker := time.NewTicker(delay)
	defer ticker.Stop()
	var batch []*tracepb.Span
	send := func() {
		if len(batch) > 0 {
			sender.send(ctx, t.stop, batch)
			batch = nil
		}
	}
	for {
		select {
		case span := <-t.queue:
			if batch = append(batch, span); len(batch) == batchSize {
				send()
			}
		case <-ticker.C:
			send()
		case <-t.stop:
			for len(t.queue) > 0 {
				if batch = append(batch, <-t.queue); len(batch) == batchSize {
					send()
				}
			}
			send()
			return
		}
	}
}

// newResource says which process the spans are of. OTEL_SERVICE_NAME wins over
// the attribute of that name.
func newResource(o Options) (*resourcepb.Resource, error) {
	list, err := pairs("OTEL_RESOURCE_ATTRIBUTES", o.Settings.Resource)
	if err != nil {
		return nil, err
	}
	all := [][2]string{{"service.name", "dispatchd"}, {"service.version", o.Version}, {"service.instance.id", o.Instance}}
	all = append(all, list...)
	if o.Settings.Service != "" {
		all = append(all, [2]string{"service.name", o.Settings.Service})
	}
	resource := new(resourcepb.Resource)
	place := map[string]int{}
	for _, p := range all {
		kv := &commonpb.KeyValue{Key: p[0], Value: String(p[0], p[1]).value}
		if i, known := place[p[0]]; known {
			resource.Attributes[i] = kv
			continue
		}
		place[p[0]] = len(resource.Attributes)
		resource.Attributes = append(resource.Attributes, kv)
	}
	return resource, nil
}

// exportError says why the collector did not take a batch.
type exportError struct {
	why       string
	transient bool
	after     time.Duration
}

func (e *exportError) Error() string {
	return fmt.Sprintf("the OTLP collector did not take spans: %s", e.why)
}

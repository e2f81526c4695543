package traces

import (
	"encoding/binary"
	"sync"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Attribute is one fact of a span.
type Attribute struct {
	Key   string
	value *commonpb.AnyValue
}

// String is an attribute with a text. The span's Hide sees the text first.
func String(key, text string) Attribute {
	return Attribute{Key: key, value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: text}}}
}

// Int is an attribute with a number.
func Int(key string, number int) Attribute {
	return Attribute{Key: key, value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(number)}}}
}

// Seconds is an attribute with a length of time, in seconds.
func Seconds(key string, d time.Duration) Attribute {
	return Attribute{Key: key, value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: d.Seconds()}}}
}

// Start is what a span begins with.
type Start struct {
	// Name is of a closed set: no ids.
	Name string
	// TraceID is the trace of a span without a parent.
	TraceID TraceID
	// At is when it began; now where it is zero.
	At time.Time
	// Hide takes secrets out of every text of the span and its children; nil
	// hides nothing.
	Hide func(string) string
	// Attributes are what is known from the beginning.
	Attributes []Attribute
}

// Span is one piece of work with a beginning and an end. A nil *Span is one
// that nobody records. It is safe for concurrent use.
type Span struct {
	tracer *Tracer
	hide   func(string) string

	mu    sync.Mutex
	span  *tracepb.Span
	ended bool
}

// Begin starts the span of a piece of work that was asked for from outside;
// parent may be invalid. It returns nil where the span is not recorded.
func (t *Tracer) Begin(parent Traceparent, start Start) *Span {
	if t == nil || !t.sampler(parent, start.TraceID) {
		return nil
	}
	if !parent.Valid() {
		parent = Traceparent{TraceID: start.TraceID}
	}
	return t.newSpan(parent, start, tracepb.Span_SPAN_KIND_CONSUMER)
}

// Child starts a span inside s. It returns nil where s is nil.
func (s *Span) Child(name string, attributes ...Attribute) *Span {
	if s == nil {
		return nil
	}
	return s.tracer.newSpan(s.Traceparent(), Start{Name: name, Hide: s.hide, Attributes: attributes}, tracepb.Span_SPAN_KIND_INTERNAL)
}

func (t *Tracer) newSpan(parent Traceparent, start Start, kind tracepb.Span_SpanKind) *Span {
	if start.At.IsZero() {
		start.At = time.Now()
	}
	if start.Hide == nil {
		start.Hide = func(text string) string { return text }
	}
	id := newSpanID()
	s := &Span{tracer: t, hide: start.Hide, span: &tracepb.Span{
		TraceId: parent.TraceID[:], SpanId: id[:], Name: start.Name, Kind: kind,
		Flags: uint32(parent.Flags | flagSampled), StartTimeUnixNano: nanoseconds(start.At),
	}}
	if parent.SpanID != (SpanID{}) {
		s.span.ParentSpanId = parent.SpanID[:]
	}
	s.Set(start.Attributes...)
	return s
}

// Traceparent names the span to others; invalid for a nil span.
func (s *Span) Traceparent() Traceparent {
	if s == nil {
		return Traceparent{}
	}
	return Traceparent{TraceID: TraceID(s.span.GetTraceId()), SpanID: SpanID(s.span.GetSpanId()), Flags: byte(s.span.GetFlags())}
}

// Set adds attributes; one with a key that is there already replaces it.
func (s *Span) Set(attributes ...Attribute) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range attributes {
		s.set(a)
	}
}

func (s *Span) set(a Attribute) {
	if s.ended {
		return
	}
	value := a.value
	if text, ok := value.GetValue().(*commonpb.AnyValue_StringValue); ok {
		value = String(a.Key, s.hide(text.StringValue)).value
	}
	for _, known := range s.span.GetAttributes() {
		if known.GetKey() == a.Key {
			known.Value = value
			return
		}
	}
	s.span.Attributes = append(s.span.Attributes, &commonpb.KeyValue{Key: a.Key, Value: value})
}

// Fail marks the span as failed, with a sentence and whatever says why.
func (s *Span) Fail(message string, why ...Attribute) {
	if s == nil {
		return
	}
	s.Set(why...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.span.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: s.hide(message)}
	}
}

// End ends the span and hands it to the exporter. Only the first call counts.
func (s *Span) End() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	s.span.EndTimeUnixNano = nanoseconds(time.Now())
	s.tracer.offer(s.span)
}

func nanoseconds(t time.Time) uint64 {
	return uint64(max(0, t.UnixNano()))
}

// sampler decides whether a span without a local parent is recorded.
type sampler func(parent Traceparent, trace TraceID) bool

// ratioSampler keeps a share of the traces, decided by their ids alone, so that
// every process with the same share keeps the same ones.
func ratioSampler(share float64) sampler {
	limit := uint64(share * (1 << 63))
	return func(parent Traceparent, trace TraceID) bool {
		if parent.Valid() {
			trace = parent.TraceID
		}
		return binary.BigEndian.Uint64(trace[8:])>>1 < limit
	}
}

func always(keep bool) sampler { return func(Traceparent, TraceID) bool { return keep } }

// parentBased asks root only where there is no parent to follow.
func parentBased(root sampler) sampler {
	return func(parent Traceparent, trace TraceID) bool {
		if parent.Valid() {
			return parent.Sampled()
		}
		return root(parent, trace)
	}
}

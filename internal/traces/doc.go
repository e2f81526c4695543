// Package traces says to an OTLP collector what a task did and for how long:
// one span for each attempt, one for each of its stages, all below the span of
// whoever published the task. It reads and writes W3C traceparent headers.
//
// Spans are made of OpenTelemetry's own protocol messages and sent as
// http/protobuf. Sending never blocks a task and never fails one: the queue is
// bounded, and what does not fit is dropped and counted. Without an endpoint
// there is no Tracer, and every method of a nil *Tracer and a nil *Span does
// nothing.
package traces

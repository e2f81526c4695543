// Package queue is the JetStream side of work: the streams and buckets that
// are ours, the deliveries of the work queue, the run records behind claims,
// and the dead letters. It also has the queue of one delivery that run-once
// uses. It knows nothing of payloads.
package queue

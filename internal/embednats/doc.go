// Package embednats runs a NATS server with JetStream and file storage inside
// this process. It is for dispatchd-dev and for tests, which need a real server
// and no daemon, and the only importer of nats-server: production does not
// carry it.
//
// A Server can be stopped and started again on the same port and with the same
// store, so that tests can take NATS away for a while.
package embednats

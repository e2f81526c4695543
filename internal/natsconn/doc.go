// Package natsconn makes the one connection to NATS that a process has: servers,
// NKey or credentials file, TLS, and reconnects for as long as the process
// lives. Everything that can go wrong at start has a named error, and every
// error of Connect begins with "failed to initialize NATS: ".
//
// NATS answers a forbidden publish with nothing but a message to the error
// handler, so that the publisher only sees a time-out. OnError gets it as a
// *PermissionError.
package natsconn

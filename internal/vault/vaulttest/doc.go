// Package vaulttest is a stand-in for Vault that tests ask over HTTP: AppRole,
// KV version 1 and 2, policies, tokens with a limited number of uses, and the
// ways in which Vault refuses. A test of the package above holds its answers to
// a recording of a real server.
package vaulttest

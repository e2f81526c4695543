// Package backend tells the platform's HTTP API how a deployment goes: its
// steps, its success, and the question for a domain.
//
// The API informs and never holds up: updates are queued to one goroutine for
// each attempt, which keeps their order; after the first call without an answer
// the attempt asks nothing more, and all waiting together has one budget of a
// few seconds. Nothing here fails a deployment.
//
// The token is a query parameter, so no error holds a URL's query, redirects to
// another host are refused, and the environment's token goes to the
// environment's address alone.
package backend

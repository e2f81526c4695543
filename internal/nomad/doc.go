// Package nomad turns a rendered job into a healthy deployment, or into the
// reason why there is none; it destroys jobs too.
//
// Client is the tasks.Deployer. Register parses the job at the server and
// registers it by check-and-set, marked with the id of the task that asks for
// it. Watch follows the registered version, and no other, until it is healthy
// or cannot become so. Destroy stops a job and its children, waits until their
// allocations are gone and purges them.
//
// Every request has a time-out of its own and goes to the address of the
// cluster alone: redirects are not followed and clients are never dialled.
package nomad

// Package service puts the parts together: from settings to adapters, from
// adapters to a worker, and from there to the service or a single task. Both
// programs and every command are wired from here.
package service

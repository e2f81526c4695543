package tasks

import "context"

// BuildPlan is what a planner's program made of a source tree: a file that a
// frontend of the builder reads, and what that file wants from the outside.
type BuildPlan struct {
	// Program is the program with its version, for the log.
	Program string
	// File is the plan, slash-separated and relative to the directory that the
	// planner was given: a Dockerfile, or whatever Frontend reads.
	File string
	// Frontend is the image of the frontend that reads File; empty is the
	// builder's own, which reads Dockerfiles.
	Frontend string
	// Context is the part of the request's context that the plan is for; empty
	// is all of it.
	Context string
	// Assets is the folder beside the plan, relative to that directory, whose
	// files a Dockerfile copies as if they lay in its context; empty where
	// there is none.
	Assets string
	// Args are the values of the build arguments that a Dockerfile declares.
	Args map[string]string
	// Variables are given to the steps like secrets, because that is how the
	// frontend takes them; they are none.
	Variables map[string]string
}

// BuildPlanner turns a source tree without a Dockerfile into a plan. It reads the
// tree and writes below dir alone, which exists, is empty and stays the
// caller's. Secrets reach neither the program nor its plan, but for their
// names. Errors are *Failure with reason builder_missing, build_failed,
// source_invalid or, where trying again may help, builder_unavailable. A
// cancelled context ends every child process before Plan returns.
type BuildPlanner interface {
	Plan(ctx context.Context, req BuildRequest, dir string, rep Reporter) (BuildPlan, error)
}

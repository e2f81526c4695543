// Package buildkit makes images out of source trees with a buildkitd, pushes
// them, and reads what a registry knows about an image.
//
// Client is the tasks.Builder. Each build has a connection of its own, so the
// service starts and keeps running while the daemon is away. The source tree is
// sent from this machine and is never a URL; a Dockerfile cannot choose its own
// frontend; the registry's credentials travel over the build's session and are
// shown to the registry that they are for, and to no other.
//
// An image is pushed as one plain manifest without attestations, so the digest
// that a build returns is that of the image itself. What a RUN may reach over
// the network is the daemon's decision, not this package's.
//
// Registry is the tasks.Resolver.
package buildkit

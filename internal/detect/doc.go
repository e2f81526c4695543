// Package detect looks at a directory and says how an app that lies there is
// probably built: its language, its Dockerfile, the ports that it exposes.
//
// It reads names and the text of the Dockerfile, beneath the directory alone,
// and runs nothing. What it finds is a proposal: `dispatchd init` writes it
// down, and whoever reads the file decides.
package detect

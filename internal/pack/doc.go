// Package pack renders a deploy pack to a Nomad job, as nomad-pack does: the
// pack's files, the values of vars.hcl, text/template with [[ and ]], one job
// in HCL at the end.
//
// It is stricter than nomad-pack. A variable that is missing, unknown or of
// another type is an error; functions that reach the host or give another
// answer each time are not available; the output must be exactly one job made
// of constants.
//
// A user's text never becomes HCL or template: packs write it with the hcl…
// and ct… functions of this package, which return it quoted for the reader
// that comes next (Nomad's parser, Nomad's client, consul-template) or refuse
// what that reader would change.
package pack

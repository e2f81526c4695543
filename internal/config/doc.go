// Package config turns the environment into one typed, validated Config. It is
// the first thing a command does; components get a small Options struct made
// from it, never the Config itself.
//
// The struct tags are the one source of names, defaults and descriptions: Load
// reads them, `dispatchd config` and docs/configuration.md are generated from
// them (Settings, MarkdownTable). A variable that is set but empty counts as
// unset, since templates of job files often leave one so.
//
// Values that must not be seen are of type Secret, which prints as ***.
package config

package config

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// Load reads the environment, fills in defaults and validates. Its error holds
// every problem, one a line, each with the variable's name and what is allowed;
// the Config is complete all the same (with defaults where a value did not
// parse), so that a log can be set up to say so.
func Load() (Config, error) {
	c := Config{set: map[string]bool{}}
	var problems []error
	for _, f := range fieldsOf(&c) {
		// An empty variable counts as unset.
		value := os.Getenv(f.name)
		c.set[f.name] = value != ""
		if err := f.load(value != ""); err != nil {
			problems = append(problems, f.problem(value))
			problems = append(problems, f.loadDefault()...)
		}
	}
	c.fillIn()
	return c, errors.Join(append(problems, c.problems()...)...)
}

// fillIn works out the defaults that no tag can hold.
func (c *Config) fillIn() {
	c.NATS.Servers = withScheme(trimmed(c.NATS.Servers))
	c.Registry.Insecure = trimmed(c.Registry.Insecure)
	c.Upload.Hosts = trimmed(c.Upload.Hosts)
	c.Pack.Registries = trimmed(c.Pack.Registries)
	c.NATS.PrivateKey = Secret(strings.TrimSpace(c.NATS.PrivateKey.Reveal()))
	if c.Worker.ID == "" {
		c.Worker.ID = newWorkerID()
	}
	if c.Worker.WorkDir == "" {
		c.Worker.WorkDir = filepath.Join(os.TempDir(), "dispatchd")
	}
}

// trimmed returns the entries of a list without the spaces around them and
// without empty ones.
func trimmed(list []string) []string {
	var out []string
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// withScheme gives servers without a scheme the one that NATS assumes, so that
// whoever hides what a URL carries finds one.
func withScheme(servers []string) []string {
	for i, s := range servers {
		if !strings.Contains(s, "://") {
			servers[i] = "nats://" + s
		}
	}
	return servers
}

var notInToken = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

func newWorkerID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	host = notInToken.ReplaceAllString(host, "-")
	return host[:min(len(host), 100)] + "-" + hex.EncodeToString(random[:])
}

// field is one variable: its place in the Config and its tags.
type field struct {
	section string
	name    string
	value   reflect.Value
	tag     reflect.StructTag
}

// fieldsOf lists the variables in the order of the struct.
func fieldsOf(c *Config) []field {
	var fields []field
	whole := reflect.ValueOf(c).Elem()
	for i := range whole.NumField() {
		value, info := whole.Field(i), whole.Type().Field(i)
		switch {
		case !info.IsExported():
		case value.Kind() == reflect.Struct:
			for k := range value.NumField() {
				fields = append(fields, newField(info.Name, value.Field(k), value.Type().Field(k).Tag))
			}
		default:
			fields = append(fields, newField("", value, info.Tag))
		}
	}
	return fields
}

func newField(section string, value reflect.Value, tag reflect.StructTag) field {
	return field{section: section, name: tag.Get("envconfig"), value: value, tag: tag}
}

// load has envconfig process this field alone: processing the whole struct
// would stop at the first problem. Where the variable is not to be read, it
// asks for one that cannot exist, and gets the default.
func (f field) load(fromEnv bool) error {
	name := f.name
	if !fromEnv {
		name += "="
	}
	one := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: "Value", Type: f.value.Type(),
		Tag: reflect.StructTag(fmt.Sprintf("envconfig:%q default:%q", name, f.tag.Get("default"))),
	}}))
	if err := envconfig.Process("", one.Interface()); err != nil {
		return err
	}
	f.value.Set(one.Elem().Field(0))
	return nil
}

func (f field) loadDefault() []error {
	if err := f.load(false); err != nil {
		return []error{fmt.Errorf("%s: default: %w", f.name, err)}
	}
	return nil
}

// problem says what is wrong with a value that did not parse.
func (f field) problem(value string) error {
	switch f.value.Interface().(type) {
	case time.Duration:
		return badValue(f.name, value, "a duration such as 90s or 15m")
	case int:
		return badValue(f.name, value, "a whole number")
	case Bytes:
		return badValue(f.name, value, "a size such as 512MiB or 2GiB")
	}
	return badValue(f.name, "", "another value")
}

func badValue(name, value, want string) error {
	return fmt.Errorf("%s is %q: want %s", name, value, want)
}

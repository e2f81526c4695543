package service

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/logging"
	"github.com/dispatchd/dispatchd/internal/queue"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// Host is what a program gives to the parts: who we are and where logs go.
type Host struct {
	Config   config.Config
	Version  Version
	Log      *zap.Logger
	Redactor *redact.Redactor
	// Pace is how fast workers notice each other's end; zero but in tests.
	Pace queue.Pace
	// Handler carries out tasks in the place of the adapters' steps; nil but in
	// tests of what stands around them.
	Handler worker.Handler
}

// Version names the build.
type Version struct {
	Number string
	Commit string
	Go     string
}

// NewHost reads and checks the settings and makes a log on stderr that hides
// their secrets. What an operator should know of environ ("NAME=value", as from
// os.Environ) is the log's first lines.
func NewHost(version Version, environ []string, stderr io.Writer) (Host, error) {
	cfg, err := config.Load()
	if err != nil {
		return Host{}, err
	}
	redactor := redact.New(append(cfg.Secrets(), packTokens(environ)...)...)
	log, err := logging.New(logging.Options{Level: cfg.Log.Level, Format: cfg.Log.Format, Out: stderr}, redactor)
	if err != nil {
		return Host{}, err
	}
	for _, warning := range cfg.Warnings(environ) {
		log.Warn("settings", zap.String("warning", warning))
	}
	return Host{Config: cfg, Version: version, Log: log, Redactor: redactor}, nil
}

// NewLocalHost reads and checks the settings for a command that a person runs.
// It has no log: the person reads the command's output. Unless the settings
// name a work directory, each user has one of their own.
func NewLocalHost(version Version) (Host, error) {
	cfg, err := config.Load()
	if err != nil {
		return Host{}, err
	}
	if os.Getenv("DISPATCHD_WORK_DIR") == "" {
		// The service's own belongs to whoever ran first on the machine.
		cfg.Worker.WorkDir = filepath.Join(os.TempDir(), fmt.Sprintf("dispatchd-%d", os.Getuid()))
	}
	return Host{Config: cfg, Version: version, Log: zap.NewNop(), Redactor: redact.New(cfg.Secrets()...)}, nil
}

package service

import (
	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/upload"
)

// newUploads makes what fetches uploaded sources.
func newUploads(cfg config.Config) (*upload.Client, error) {
	return upload.New(upload.Options{
		Hosts: cfg.Upload.Hosts, BackendURL: cfg.Backend.URL,
		MaxDownloadBytes: int64(cfg.Upload.MaxDownload), MaxBytes: int64(cfg.Upload.MaxBytes),
		MaxFiles: cfg.Upload.MaxFiles, Timeout: cfg.Upload.Timeout,
	})
}

package upload

import (
	"context"
	"os"
)

// Extract unpacks a file, without the network before it.
func (c *Client) Extract(ctx context.Context, name, dir string) error {
	archive, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = archive.Close() }()
	if _, err := c.extract(ctx, archive, dir, nil); err != nil {
		return upload{title: title("")}.explain(ctx, err)
	}
	return nil
}

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

// Where returns the scheme and host that an address would be asked at, or why it
// is not.
func (c *Client) Where(address string) (string, error) {
	parsed, err := c.hosts.address(address)
	if err != nil {
		return "", err
	}
	return parsed.Scheme + "://" + parsed.Host, nil
}

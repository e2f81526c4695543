package traces

import "context"

// Try sends an empty request to the collector, once, and returns why it did not
// take it. It returns nil where the settings name no collector.
func Try(ctx context.Context, settings Settings) error {
	if err := settings.Validate(); err != nil || !settings.Enabled() {
		return err
	}
	sender, err := newSender(Options{Settings: settings})
	if err != nil {
		return err
	}
	defer sender.client.CloseIdleConnections()
	_, err = sender.post(ctx, nil)
	return err
}

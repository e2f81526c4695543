package traces

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dispatchd/dispatchd/internal/redact"
)

const (
	// tries is how often a batch is offered to a collector that is away.
	tries = 5
	// longestWait bounds one wait between two of them, whatever the collector asks.
	longestWait = 30 * time.Second
	// maxAnswer is what is read of an answer.
	maxAnswer = 64 << 10
)

// sender posts batches to the collector. Only the tracer's goroutine uses it.
type sender struct {
	client   *http.Client
	url      string
	header   http.Header
	timeout  time.Duration
	first    time.Duration
	resource *resourcepb.Resource
	scope    *commonpb.InstrumentationScope
	log      *zap.Logger
	metrics  *Metrics
	// away is true from a batch that was lost to the next that was taken: an
	// outage is one line in the log.
	away bool
}

func newSender(o Options) (*sender, error) {
	s := &sender{log: o.Log, metrics: o.Metrics, first: o.RetryFirst, scope: &commonpb.InstrumentationScope{Name: "dispatchd", Version: o.Version}}
	if s.first <= 0 {
		s.first = time.Second
	}
	var err error
	if s.url, err = o.Settings.url(); err != nil {
		return nil, err
	}
	if s.header, err = o.Settings.headers(); err != nil {
		return nil, err
	}
	if s.timeout, err = o.Settings.timeout(); err != nil {
		return nil, err
	}
	if s.resource, err = newResource(o); err != nil {
		return nil, err
	}
	s.header.Set("Content-Type", "application/x-protobuf")
	s.header.Set("User-Agent", "dispatchd/"+o.Version)
	s.client, err = newClient(o.Settings.CACert)
	return s, err
}

// newClient makes a client that follows no redirect: that would carry the
// headers, and the token among them, to another host.
func newClient(caFile string) (*http.Client, error) {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: 90 * time.Second,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: no certificate in %s", caFile)
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// send offers the batch until it is taken, refused for good, or the tries are
// used up. Once stop is closed nothing is waited for.
func (s *sender) send(ctx context.Context, stop <-chan struct{}, batch []*tracepb.Span) {
	defer s.client.CloseIdleConnections()
	body, err := proto.Marshal(&collectorpb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: s.resource, ScopeSpans: []*tracepb.ScopeSpans{{Scope: s.scope, Spans: batch}},
	}}})
	if err != nil {
		s.lost(lostRefused, len(batch), err)
		return
	}
	wait := s.first
	for try := 1; ; try++ {
		refused, err := s.post(ctx, body)
		var failed *exportError
		switch {
		case err == nil:
			s.taken(len(batch), refused)
			return
		case errors.As(err, &failed) && !failed.transient:
			s.lost(lostRefused, len(batch), err)
			return
		case try == tries || !pause(ctx, stop, max(wait/2+rand.N(wait/2+1), failed.retryAfter())):
			s.lost(lostUnreachable, len(batch), err)
			return
		}
		wait = min(wait*2, longestWait)
	}
}

// pause waits; false where there is no time left to wait.
func pause(ctx context.Context, stop <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(min(d, longestWait))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	case <-ctx.Done():
		return false
	}
}

// post sends one request. It returns how many spans the collector refused of a
// batch that it took.
func (s *sender) post(ctx context.Context, body []byte) (refused int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, &exportError{why: redact.URL(err.Error())}
	}
	req.Header = s.header.Clone()
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, &exportError{why: redact.URL(err.Error()), transient: true}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 == 2 {
		var taken collectorpb.ExportTraceServiceResponse
		_ = proto.Unmarshal(answer, &taken) // an answer that cannot be read says nothing of refusals
		return taken.GetPartialSuccess().GetRejectedSpans(), nil
	}
	return 0, notExported(resp)
}

// notExported reads the answer of a collector that took nothing: these four
// codes say that it may take the same later.
func notExported(resp *http.Response) error {
	e := &exportError{why: "it answered " + resp.Status}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.transient = true
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
			e.after = min(time.Duration(seconds)*time.Second, longestWait)
		}
	}
	return e
}

func (e *exportError) retryAfter() time.Duration {
	if e == nil {
		return 0
	}
	return e.after
}

func (s *sender) taken(spans int, refused int64) {
	refused = min(max(refused, 0), int64(spans))
	s.metrics.sent(spans - int(refused))
	if refused > 0 {
		s.metrics.lost(lostRefused, int(refused))
	}
	if s.away {
		s.away = false
		s.log.Info("the OTLP collector takes spans again")
	}
}

func (s *sender) lost(why string, spans int, err error) {
	s.metrics.lost(why, spans)
	if !s.away {
		s.away = true
		s.log.Warn("spans are lost; tasks go on", zap.Int("spans", spans), zap.Error(err))
	}
}

package traces

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/internal/redact"
)

// Settings are the values of OpenTelemetry's environment variables, as they
// stand there.
type Settings struct {
	// Disabled is OTEL_SDK_DISABLED.
	Disabled string
	// Endpoint is a base URL to which /v1/traces is added; TracesEndpoint is
	// taken as it is and wins. Where both are empty there is no tracer.
	Endpoint       string
	TracesEndpoint string
	// Headers is a list name=value,…, percent-encoded. It holds secrets.
	Headers string
	// Protocol must be http/protobuf, or empty.
	Protocol string
	// CACert is a file of CA certificates for the endpoint.
	CACert string
	// Timeout is in milliseconds; 10 s where it is empty.
	Timeout string
	// Service and Resource name the process in every span.
	Service  string
	Resource string
	// Sampler and SamplerArg are one of samplers and its share.
	Sampler    string
	SamplerArg string
}

// Enabled reports whether there is anything to send to.
func (s Settings) Enabled() bool {
	return !strings.EqualFold(s.Disabled, "true") && (s.Endpoint != "" || s.TracesEndpoint != "")
}

// Validate reports everything that is wrong, one problem a line, each with its
// variable. Settings of a tracer that is off are not looked at.
func (s Settings) Validate() error {
	if !s.Enabled() {
		return nil
	}
	_, urlErr := s.url()
	_, headerErr := s.headers()
	_, timeoutErr := s.timeout()
	_, samplerErr := s.sampler()
	_, resourceErr := pairs("OTEL_RESOURCE_ATTRIBUTES", s.Resource)
	return errors.Join(s.protocol(), urlErr, headerErr, timeoutErr, samplerErr, resourceErr)
}

// protocol refuses what this exporter does not speak: a collector that is
// spoken to in another way would take nothing and say nothing.
func (s Settings) protocol() error {
	if s.Protocol == "" || s.Protocol == "http/protobuf" {
		return nil
	}
	return fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: dispatchd speaks http/protobuf alone; leave it empty and use the collector's HTTP port, usually 4318", s.Protocol)
}

func (s Settings) url() (string, error) {
	name, text := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", s.TracesEndpoint
	if text == "" {
		name, text = "OTEL_EXPORTER_OTLP_ENDPOINT", s.Endpoint
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", fmt.Errorf("%s is %q: want a URL such as http://127.0.0.1:4318", name, redact.URL(text))
	}
	if s.TracesEndpoint == "" {
		u = u.JoinPath("v1", "traces")
	}
	return u.String(), nil
}

func (s Settings) headers() (http.Header, error) {
	header := http.Header{}
	list, err := pairs("OTEL_EXPORTER_OTLP_HEADERS", s.Headers)
	for _, p := range list {
		header.Set(p[0], p[1])
	}
	return header, err
}

func (s Settings) timeout() (time.Duration, error) {
	if s.Timeout == "" {
		return 10 * time.Second, nil
	}
	ms, err := strconv.Atoi(s.Timeout)
	if err != nil || ms <= 0 {
		return 0, fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT is %q: want a number of milliseconds", s.Timeout)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func (s Settings) sampler() (sampler, error) {
	share, err := s.share()
	if err != nil {
		return nil, err
	}
	switch s.Sampler {
	case "", "parentbased_always_on":
		return parentBased(always(true)), nil
	case "parentbased_always_off":
		return parentBased(always(false)), nil
	case "parentbased_traceidratio":
		return parentBased(ratioSampler(share)), nil
	case "always_on":
		return always(true), nil
	case "always_off":
		return always(false), nil
	case "traceidratio":
		return ratioSampler(share), nil
	}
	return nil, fmt.Errorf("OTEL_TRACES_SAMPLER is %q: want always_on, always_off or traceidratio, alone or after parentbased_", s.Sampler)
}

func (s Settings) share() (float64, error) {
	if s.SamplerArg == "" || !strings.HasSuffix(s.Sampler, "traceidratio") {
		return 1, nil
	}
	share, err := strconv.ParseFloat(s.SamplerArg, 64)
	if err != nil || !(share >= 0 && share <= 1) {
		return 0, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q: want a number from 0 to 1", s.SamplerArg)
	}
	return share, nil
}

// HeaderSecrets lists the values of a list of headers, as they are sent: each
// may be a token.
func HeaderSecrets(headers string) []string {
	list, _ := pairs("", headers)
	var secrets []string
	for _, p := range list {
		secrets = append(secrets, p[1])
		if _, token, found := strings.Cut(p[1], " "); found {
			secrets = append(secrets, token)
		}
	}
	return secrets
}

// pairs reads a list name=value,… whose parts may be percent-encoded. Its error
// names the entry by its number: a value may be a secret.
func pairs(variable, text string) ([][2]string, error) {
	var list [][2]string
	for i, entry := range strings.Split(text, ",") {
		if strings.TrimSpace(entry) == "" {
			continue
		}
		name, value, found := strings.Cut(entry, "=")
		name, nameErr := url.PathUnescape(strings.TrimSpace(name))
		value, valueErr := url.PathUnescape(strings.TrimSpace(value))
		if !found || name == "" || nameErr != nil || valueErr != nil || unsafe(name) || unsafe(value) {
			return list, fmt.Errorf("%s: entry %d is not name=value, percent-encoded", variable, i+1)
		}
		list = append(list, [2]string{name, value})
	}
	return list, nil
}

// unsafe reports characters that neither a header nor an attribute may hold.
func unsafe(text string) bool {
	return slices.ContainsFunc([]byte(text), func(c byte) bool { return c < ' ' || c == 0x7f })
}

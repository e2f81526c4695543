package config_test

import (
	"strings"
	"testing"
)

func TestTraceSettingsAreCheckedWhereTracesAreOn(t *testing.T) {
	off := map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_SAMPLER": "sometimes"}
	if _, err := load(t, off); err != nil {
		t.Errorf("traces are off: %v", err)
	}
	off["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://user:hunter2@collector:4317"
	c, err := load(t, off)
	for _, want := range []string{`OTEL_EXPORTER_OTLP_PROTOCOL is "grpc": dispatchd speaks http/protobuf alone`, "OTEL_TRACES_SAMPLER"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Load() = %v, want %q in it", err, want)
		}
	}
	if !strings.Contains(strings.Join(c.Secrets(), " "), "hunter2") {
		t.Error("the endpoint's password is not hidden")
	}
}

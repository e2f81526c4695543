package traces_test

import (
	"context"
	"encoding/hex"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/dispatchd/dispatchd/internal/traces"
)

const publisher = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func parsed(t *testing.T, header string) traces.Traceparent {
	t.Helper()
	parent, ok := traces.Parse(header)
	if !ok {
		t.Fatalf("Parse(%q) refuses it", header)
	}
	return parent
}

func TestASpanAndItsChildrenArriveBelowThePublishers(t *testing.T) {
	t.Parallel()
	c := newCollector(t, nil)
	tracer, counted := newTracer(t, traces.Settings{
		Endpoint: c.URL + "/base", Headers: "authorization=Bearer%20secret,x-team=a", Service: "mine",
		Resource: "deployment.environment=test,service.name=other,a=b%2Cc",
	})
	span := tracer.Begin(parsed(t, publisher), traces.Start{Name: "deploy-image", Hide: hide, Attributes: []traces.Attribute{
		traces.String("said", "the hunter2"), traces.Int("n", 7),
	}})
	child := span.Child("clone", traces.String("also", "hunter2"))
	child.Fail("hunter2 was refused", traces.String("error.type", "git_auth"))
	child.End()
	child.End()
	child.Set(traces.String("late", "x"))
	span.Set(traces.Int("n", 8))
	span.End()
	closed(t, tracer)

	got := c.spans()
	task, clone := got["deploy-image"], got["clone"]
	if task == nil || clone == nil {
		t.Fatalf("got %v", slices.Collect(maps.Keys(got)))
	}
	const trace = "0af7651916cd43dd8448eb211c80319c"
	for name, s := range got {
		if hex.EncodeToString(s.GetTraceId()) != trace || s.GetStartTimeUnixNano() == 0 || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("%s: trace %x from %d to %d", name, s.GetTraceId(), s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano())
		}
	}
	if hex.EncodeToString(task.GetParentSpanId()) != "b7ad6b7169203331" || task.GetKind() != tracepb.Span_SPAN_KIND_CONSUMER || task.GetStatus() != nil {
		t.Errorf("the task's span: %v", task)
	}
	if string(clone.GetParentSpanId()) != string(task.GetSpanId()) || clone.GetKind() != tracepb.Span_SPAN_KIND_INTERNAL {
		t.Errorf("the stage's span: %v", clone)
	}
	if want := "*** was refused"; clone.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || clone.GetStatus().GetMessage() != want {
		t.Errorf("status %v, want an error and %q", clone.GetStatus(), want)
	}
	if diff := cmp.Diff(map[string]string{"also": "***", "error.type": "git_auth"}, texts(clone.GetAttributes())); diff != "" {
		t.Errorf("the stage's attributes (-want +got):\n%s", diff)
	}
	if n := task.GetAttributes()[1].GetValue().GetIntValue(); n != 8 || len(task.GetAttributes()) != 2 {
		t.Errorf("n = %d of %d attributes, want the newer value once", n, len(task.GetAttributes()))
	}
	first := c.requests[0]
	if first.URL.Path != "/base/v1/traces" || first.Header.Get("Content-Type") != "application/x-protobuf" || first.Header.Get("Authorization") != "Bearer secret" || first.Header.Get("X-Team") != "a" {
		t.Errorf("the request went to %s with %v", first.URL.Path, first.Header)
	}
	wantResource := map[string]string{"service.name": "mine", "service.version": "1.2.3", "service.instance.id": "w1", "deployment.environment": "test", "a": "b,c"}
	if diff := cmp.Diff(wantResource, texts(c.got[0].GetResourceSpans()[0].GetResource().GetAttributes())); diff != "" {
		t.Errorf("resource (-want +got):\n%s", diff)
	}
	if n := counted.value(t, "dispatchd_spans_exported_total", ""); n != 2 {
		t.Errorf("%v spans counted, want 2", n)
	}
}

func hide(text string) string { return strings.ReplaceAll(text, "hunter2", "***") }

func TestWithoutAnEndpointNothingHappens(t *testing.T) {
	t.Parallel()
	for _, settings := range []traces.Settings{
		{}, {Protocol: "grpc", Sampler: "nonsense"}, {Endpoint: "http://127.0.0.1:1", Disabled: "TRUE"},
	} {
		tracer, err := traces.New(t.Context(), traces.Options{Settings: settings})
		if tracer != nil || err != nil {
			t.Errorf("New(%+v) = %v, %v", settings, tracer, err)
		}
		span := tracer.Begin(parsed(t, publisher), traces.Start{Name: "x"})
		child := span.Child("y")
		child.Set(traces.String("a", "b"))
		child.Fail("no")
		child.End()
		if place := child.Traceparent(); place.Valid() || place.String() != "" {
			t.Errorf("a span that is not recorded says it is at %s", place)
		}
		tracer.Close(t.Context())
	}
}

func TestSettingsThatAreWrongAreNamedAllAtOnce(t *testing.T) {
	t.Parallel()
	err := traces.Settings{
		Endpoint: "collector:4318", Headers: "x=%zz", Protocol: "grpc", Timeout: "soon", Sampler: "some", Resource: "novalue",
	}.Validate()
	for _, want := range []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS: entry 1", `OTEL_EXPORTER_OTLP_PROTOCOL is "grpc": dispatchd speaks http/protobuf alone`,
		"OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_TRACES_SAMPLER", "OTEL_RESOURCE_ATTRIBUTES: entry 1",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v, want %q in it", err, want)
		}
	}
	if err := (traces.Settings{Endpoint: "http://c:4318", Sampler: "traceidratio", SamplerArg: "2"}).Validate(); err == nil || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER_ARG") {
		t.Errorf("a share of 2: %v", err)
	}
}

func TestSamplersDecideWhatIsRecorded(t *testing.T) {
	t.Parallel()
	recorded := parsed(t, publisher)
	ignored := parsed(t, strings.TrimSuffix(publisher, "01")+"00")
	low := traces.TraceID{15: 1}
	high := traces.TraceID{8: 0xff}
	tests := []struct {
		name, sampler, arg string
		parent             traces.Traceparent
		trace              traces.TraceID
		want               bool
	}{
		{"by default the parent decides for it", "", "", recorded, low, true},
		{"by default the parent decides against it", "", "", ignored, low, false},
		{"by default a root is recorded", "", "", traces.Traceparent{}, low, true},
		{"a parent wins over always off", "parentbased_always_off", "", recorded, low, true},
		{"a root of always off", "parentbased_always_off", "", traces.Traceparent{}, low, false},
		{"always on beats the parent", "always_on", "", ignored, low, true},
		{"always off beats the parent", "always_off", "", recorded, low, false},
		{"a small share keeps low ids", "traceidratio", "0.1", traces.Traceparent{}, low, true},
		{"a small share drops high ids", "traceidratio", "0.1", traces.Traceparent{}, high, false},
		{"a share of one keeps all", "traceidratio", "1", traces.Traceparent{}, high, true},
		{"a share of nothing", "traceidratio", "0", traces.Traceparent{}, low, false},
		{"a parent wins over a share", "parentbased_traceidratio", "0", recorded, high, true},
	}
	for _, test := range tests {
		tracer, _ := newTracer(t, traces.Settings{Endpoint: "http://127.0.0.1:1", Sampler: test.sampler, SamplerArg: test.arg})
		span := tracer.Begin(test.parent, traces.Start{Name: "x", TraceID: test.trace})
		if got := span.Traceparent().Valid(); got != test.want {
			t.Errorf("%s: recorded %v, want %v", test.name, got, test.want)
		}
		closed(t, tracer)
	}
}

func TestWhatTheCollectorAnswersDecidesWhetherItIsAskedAgain(t *testing.T) {
	t.Parallel()
	status := func(codes ...int) func(int, http.ResponseWriter, *http.Request) {
		return func(n int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(codes[min(n, len(codes))-1]) }
	}
	tests := []struct {
		name   string
		answer func(int, http.ResponseWriter, *http.Request)
		asked  int
		lost   string
	}{
		{"busy for two tries", status(503, 429, 200), 3, ""},
		{"a gateway that has nobody behind it", status(502), 5, "unreachable"},
		{"a request that it will never take", status(400), 1, "refused"},
		{"a server error that is not said to pass", status(500), 1, "refused"},
		{"a redirect", func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, 1, "refused"},
		{"it takes the batch but not the span", partly, 1, "refused"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, test.answer)
			tracer, counted := newTracer(t, traces.Settings{TracesEndpoint: c.URL})
			tracer.Begin(parsed(t, publisher), traces.Start{Name: "x"}).End()
			eventually(t, func() bool {
				return counted.value(t, "dispatchd_spans_exported_total", "")+counted.value(t, "dispatchd_spans_dropped_total", test.lost) > 0
			})
			closed(t, tracer)
			if got := c.asked(); got != test.asked {
				t.Errorf("asked %d times, want %d", got, test.asked)
			}
			wantLost, wantSent := 1.0, 0.0
			if test.lost == "" {
				wantLost, wantSent = 0, 1
			}
			if lost, sent := counted.value(t, "dispatchd_spans_dropped_total", test.lost), counted.value(t, "dispatchd_spans_exported_total", ""); lost != wantLost || sent != wantSent {
				t.Errorf("lost %v and sent %v, want %v and %v", lost, sent, wantLost, wantSent)
			}
		})
	}
}

func partly(_ int, w http.ResponseWriter, _ *http.Request) {
	body, _ := proto.Marshal(&collectorpb.ExportTraceServiceResponse{PartialSuccess: &collectorpb.ExportTracePartialSuccess{RejectedSpans: 1}})
	_, _ = w.Write(body)
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("it did not happen within 10 s")
		}
	}
}

func TestACollectorThatHangsNeverBlocksATaskOrADrain(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer hanging.Close()
	defer close(release)
	tracer, counted := newTracer(t, traces.Settings{Endpoint: hanging.URL})
	parent := parsed(t, publisher)
	began := time.Now()
	const spans = 4000
	for range spans {
		tracer.Begin(parent, traces.Start{Name: "x"}).End()
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%d spans took %s", spans, took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	tracer.Close(ctx)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("it ended after %s", took)
	}
	full, away := counted.value(t, "dispatchd_spans_dropped_total", "queue_full"), counted.value(t, "dispatchd_spans_dropped_total", "unreachable")
	if full == 0 || full+away != spans {
		t.Errorf("%v spans did not fit and %v were lost on the way, want %d in all", full, away, spans)
	}
}

func TestParseReadsWhatW3CAllows(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		publisher: publisher,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03":       "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later": publisher,
		"":                  "",
		publisher + "-more": "",
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01later": "",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":      "",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01":      "",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01":      "",
		"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":      "",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x":      "",
		"00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01":      "",
	} {
		got, ok := traces.Parse(header)
		if got.String() != want || ok != (want != "") {
			t.Errorf("Parse(%q) = %s, %v, want %q", header, got, ok, want)
		}
	}
}

func TestATaskHasOneTraceWithoutAPublishersToo(t *testing.T) {
	t.Parallel()
	if a, b := traces.TraceIDOf("one"), traces.TraceIDOf("two"); a != traces.TraceIDOf("one") || a == b || len(a.String()) != 32 {
		t.Errorf("ids %s and %s", a, b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(publisher)
	f.Add("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later")
	f.Fuzz(func(t *testing.T, header string) {
		got, ok := traces.Parse(header)
		if !ok {
			return
		}
		again, ok := traces.Parse(got.String())
		if !ok || again != got {
			t.Errorf("Parse(%q) = %s, which reads as %s", header, got, again)
		}
	})
}

func FuzzSettingsNeverPanicAndNeverShowAHeader(f *testing.F) {
	f.Add("authorization=Bearer%20x,y=z", "a=b", "0.5")
	f.Add("=,%,a", "%zz=1", "NaN")
	f.Fuzz(func(t *testing.T, headers, resource, share string) {
		err := traces.Settings{
			Endpoint: "http://c:1", Headers: headers + ",key=hunter2hunter2%zz", Resource: resource, Sampler: "traceidratio", SamplerArg: share,
		}.Validate()
		if err == nil || strings.Contains(resource+share, "hunter2") {
			return
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows a header: %v", err)
		}
	})
}

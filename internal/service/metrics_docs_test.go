package service

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dispatchd/dispatchd/internal/events"
	"github.com/dispatchd/dispatchd/internal/ops"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/traces"
	"github.com/dispatchd/dispatchd/internal/worker"
)

// TestMetricsAreThoseOfTheDocument scrapes everything that the service
// registers, and holds names, types and labels to the tables of
// docs/metrics.md. Whoever changes one changes what dashboards read.
func TestMetricsAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	got := scrape(t, everyMetric(t))
	if diff := cmp.Diff(documented(t), got); diff != "" {
		t.Errorf("docs/metrics.md (-docs +code):\n%s", diff)
	}
}

func TestMetricsPassTheLinter(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(everyMetric(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, "dispatchd_") {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
}

// everyMetric registers what the service does, each vector with one child.
func everyMetric(t *testing.T) *prometheus.Registry {
	t.Helper()
	registry := newRegistry(Version{Number: "1", Commit: "c", Go: "go"})
	filled := &filling{Registry: registry, t: t}
	pool := worker.New(nil, nil, nil, nil, worker.Options{Metrics: worker.NewMetrics(filled)})
	worker.RegisterOldestRunning(filled, pool)
	worker.RegisterUndelivered(filled, pool)
	events.NewMetrics(filled)
	ops.NewProbes(filled)
	ops.NewQueueWatch(filled, nil)
	registerRedactions(filled, redact.New())
	traces.NewMetrics(filled)
	return registry
}

// filling gives each vector a child, without which it would not be scraped.
type filling struct {
	*prometheus.Registry
	t *testing.T
}

func (f *filling) MustRegister(all ...prometheus.Collector) {
	f.Registry.MustRegister(all...)
	for _, collector := range all {
		labels := labelsOf(f.t, collector)
		switch vector := collector.(type) {
		case *prometheus.CounterVec:
			vector.With(labels)
		case *prometheus.GaugeVec:
			vector.With(labels)
		case *prometheus.HistogramVec:
			vector.With(labels)
		}
	}
}

var variableLabels = regexp.MustCompile(`variableLabels: \{([^}]*)\}`)

// labelsOf reads the labels out of a collector's description, which has no
// other way to tell them.
func labelsOf(t *testing.T, collector prometheus.Collector) prometheus.Labels {
	t.Helper()
	described := make(chan *prometheus.Desc, 1)
	collector.Describe(described)
	found := variableLabels.FindStringSubmatch((<-described).String())
	if found == nil {
		t.Fatal("a description does not name its labels as it used to")
	}
	labels := prometheus.Labels{}
	for name := range strings.SplitSeq(found[1], ",") {
		if name != "" {
			labels[name] = "x"
		}
	}
	return labels
}

// scrape lists "name type labels" of every metric of ours.
func scrape(t *testing.T, registry *prometheus.Registry) []string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "dispatchd_") {
			continue
		}
		var labels []string
		for _, pair := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, pair.GetName())
		}
		slices.Sort(labels)
		kind := strings.ToLower(family.GetType().String())
		all = append(all, fmt.Sprintf("%s %s [%s]", family.GetName(), kind, strings.Join(labels, " ")))
	}
	slices.Sort(all)
	return all
}

// documented reads the same out of the document's tables.
func documented(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`dispatchd_") {
			continue
		}
		labels := strings.Fields(strings.NewReplacer("`", "", ",", " ").Replace(cells[3]))
		slices.Sort(labels)
		name, kind := strings.Trim(cells[1], " `"), strings.TrimSpace(cells[2])
		all = append(all, fmt.Sprintf("%s %s [%s]", name, kind, strings.Join(labels, " ")))
	}
	slices.Sort(all)
	return all
}

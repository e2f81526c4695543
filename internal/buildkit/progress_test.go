package buildkit_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/buildkit/control"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// TestProgress prints progress that was recorded from a buildkitd: each
// testdata/progress/NAME.json against NAME.golden.
func TestProgress(t *testing.T) {
	t.Parallel()
	recordings, err := filepath.Glob("testdata/progress/*.json")
	if err != nil || len(recordings) == 0 {
		t.Fatalf("got %d recordings, %v", len(recordings), err)
	}
	for _, recording := range recordings {
		t.Run(filepath.Base(recording), func(t *testing.T) {
			t.Parallel()
			rep := newRecorder()
			buildkit.PrintProgress(rep, true, readUpdates(t, recording))
			got := "stages " + stageNames(rep) + "\n--- stdout\n" + rep.out.String() + "--- stderr\n" + rep.errOut.String()
			compareGolden(t, strings.TrimSuffix(recording, ".json")+".golden", got)
		})
	}
}

func readUpdates(t *testing.T, file string) []*control.Update {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var updates []*control.Update
	if err := json.Unmarshal(text, &updates); err != nil {
		t.Fatal(err)
	}
	return updates
}

func stageNames(rep *recorder) string {
	var names []string
	for _, stage := range rep.Stages() {
		names = append(names, string(stage))
	}
	return strings.Join(names, " ")
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestPartialLinesAreAssembled(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	at := func(ms int64) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	end := at(2000)
	log := func(ms int64, stream int, text string) *control.Update {
		return &control.Update{Logs: []*control.VertexLog{{Vertex: "v", Stream: stream, Data: []byte(text), Timestamp: at(ms)}}}
	}
	endless := strings.Repeat("x", 70_000)
	rep := newRecorder()
	buildkit.PrintProgress(rep, true, []*control.Update{
		{Vertexes: []*control.Vertex{{Digest: "v", Name: "[1/1] RUN\n  make", Started: &start}}},
		log(100, 1, "par"), log(150, 2, "err"), log(200, 1, "tial\r\nsecond\nthi"), log(250, 2, "or\n"),
		log(300, 1, "rd\n10%\r50%\r100%\n\n"), log(400, 1, endless), log(500, 1, "no end"),
		{Vertexes: []*control.Vertex{{Digest: "v", Name: "[1/1] RUN\n  make", Started: &start, Completed: &end}}},
	})
	want := "#1 [1/1] RUN make\n#1 0.200 partial\n#1 0.200 second\n#1 0.300 third\n#1 0.300 100%\n#1 0.300 \n" +
		"#1 0.400 " + endless + "\n#1 0.500 no end\n#1 DONE 2.0s\n"
	if diff := cmp.Diff(want, rep.out.String()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("#1 0.250 error\n", rep.errOut.String()); diff != "" {
		t.Error(diff)
	}
	if got := rep.Stages(); len(got) != 0 {
		t.Errorf("got stages %v before any export", got)
	}
}

func TestPushIsAnnouncedOnceAndBeforeItsLines(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	vertex := &control.Vertex{Digest: "e", Name: "exporting to image", Started: &start}
	updates := []*control.Update{{Vertexes: []*control.Vertex{vertex}}, {Vertexes: []*control.Vertex{vertex}}}
	pushed := newRecorder()
	buildkit.PrintProgress(pushed, true, updates)
	if diff := cmp.Diff([]tasks.Stage{tasks.StagePush}, pushed.Stages()); diff != "" {
		t.Error(diff)
	}
	kept := newRecorder()
	buildkit.PrintProgress(kept, false, updates)
	if got := kept.Stages(); len(got) != 0 {
		t.Errorf("got stages %v of a build that pushes nothing", got)
	}
}

func TestLongTransfersSayHowFarTheyAre(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	updates := []*control.Update{{Vertexes: []*control.Vertex{{Digest: "v", Name: "pull", Started: &start}}}}
	for second := range 12 {
		updates = append(updates, &control.Update{Statuses: []*control.VertexStatus{{
			ID: "layer", Vertex: "v", Current: int64(second) * 1_000_000, Total: 12_000_000,
			Timestamp: start.Add(time.Duration(second) * time.Second), Started: &start,
		}}})
	}
	end := start.Add(12 * time.Second)
	done := &control.Update{Statuses: []*control.VertexStatus{{ID: "layer", Vertex: "v", Current: 12_000_000, Total: 12_000_000, Started: &start, Completed: &end}}}
	rep := newRecorder()
	buildkit.PrintProgress(rep, true, append(updates, done, done))
	want := "#1 pull\n#1 layer 5.00MB / 12.00MB\n#1 layer 10.00MB / 12.00MB\n#1 layer 12.00MB / 12.00MB done 12.0s\n"
	if diff := cmp.Diff(want, rep.out.String()); diff != "" {
		t.Error(diff)
	}
}

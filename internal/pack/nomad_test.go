package pack_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// nomadVariable names a Nomad that reads each rendered job too: the address of
// an agent on loopback, with the raw_exec driver.
const nomadVariable = "DISPATCHD_TEST_NOMAD"

// ofTheCluster are Nomad's objections to a job that have nothing to do with
// the pack: the tests' Nomad has no Vault, no such pool, and is older than the role.
var ofTheCluster = []string{"nonexistent node pool", "Vault not enabled", `An argument named "role"`}

// readByNomad sends the job to a real Nomad, where there is one: it must parse
// and pass Nomad's own validation.
func readByNomad(t *testing.T, job []byte) {
	t.Helper()
	address := os.Getenv(nomadVariable)
	if address == "" {
		return
	}
	status, parsed := call(t, http.MethodPost, address+"/v1/jobs/parse", map[string]any{"JobHCL": string(job), "Canonicalize": true})
	if status != http.StatusOK {
		objection(t, string(parsed))
		return
	}
	_, answer := call(t, http.MethodPost, address+"/v1/validate/job", map[string]any{"Job": json.RawMessage(parsed)})
	var validated struct{ ValidationErrors []string }
	if err := json.Unmarshal(answer, &validated); err != nil {
		t.Fatalf("Nomad answers %s: %v", answer, err)
	}
	for _, problem := range validated.ValidationErrors {
		objection(t, problem)
	}
}

func objection(t *testing.T, problem string) {
	t.Helper()
	for _, known := range ofTheCluster {
		if strings.Contains(problem, known) {
			return
		}
	}
	// The hostile job's name has spaces, which Nomad does not take.
	if !strings.Contains(t.Name(), "hostile") {
		t.Errorf("Nomad says: %s", problem)
	}
}

// printer is a task that prints its arguments and two values of templates.
const printer = `job [[ var "name" . | hcl ]] {
  type = "batch"
  group "g" {
    restart {
      attempts = 0
      mode     = "fail"
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = [[ concat (list "-c" "for a in \"$@\"; do printf '%s\\036' \"$a\"; done; printf '%s\\036' \"$VALUE\"; cat local/file" "sh") (var "texts" .) | hclDriver ]]
      }
      template {
        destination = "local/value.env"
        env         = true
        data        = [[ printf "VALUE={{ %s }}\n" (ctPattern (var "all" .) list).expression | hcl ]]
      }
      template {
        destination = "local/file"
        data        = [[ printf "{{ %s }}" (ctText (var "all" .)) | hcl ]]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}`

func TestNomadCarriesTextsUnchanged(t *testing.T) {
	t.Parallel()
	address := os.Getenv(nomadVariable)
	if address == "" {
		t.Skipf("%s is not set: no Nomad to ask", nomadVariable)
	}
	// A process has no arguments with NUL; the other two are refused.
	var texts []cty.Value
	want := ""
	for _, text := range hostile {
		text = cty.NormalizeString(text)
		if text == "\x00" || text == "\ufeff" || strings.Contains(text, "\r$$") {
			continue
		}
		texts = append(texts, cty.StringVal(text))
		want += text + "\x1e"
	}
	all := want
	declared := "variable \"name\" { type = string }\nvariable \"texts\" { type = list(string) }\nvariable \"all\" { type = string }\n"
	name := "printer-" + time.Now().UTC().Format("20060102-150405.000000")
	vars := "name = \"" + name + "\"\ntexts = " + string(hclwrite.TokensForValue(cty.TupleVal(texts)).Bytes()) +
		"\nall = " + string(hclwrite.TokensForValue(cty.StringVal(all)).Bytes()) + "\n"
	job, err := renderFiles(t, files(declared, printer), vars)
	if err != nil {
		t.Fatal(err)
	}
	got := runByNomad(t, address, name, job)
	if diff := cmp.Diff(want+all+"\x1e"+all, got); diff != "" {
		t.Errorf("the task sees other texts (-want +got):\n%s", diff)
	}
}

// runByNomad runs a batch job and returns what its task printed.
func runByNomad(t *testing.T, address, name, job string) string {
	t.Helper()
	status, parsed := call(t, http.MethodPost, address+"/v1/jobs/parse", map[string]any{"JobHCL": job})
	if status != http.StatusOK {
		t.Fatalf("parse: %s", parsed)
	}
	if status, answer := call(t, http.MethodPost, address+"/v1/jobs", map[string]any{"Job": json.RawMessage(parsed)}); status != http.StatusOK {
		t.Fatalf("register: %s", answer)
	}
	t.Cleanup(func() { remove(t, address, name) })
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case <-poll.C:
		case <-timeout:
			t.Fatal("the task has not ended in 30 s")
		}
		var allocations []struct{ ID, ClientStatus string }
		_, answer := call(t, http.MethodGet, address+"/v1/job/"+name+"/allocations", nil)
		if err := json.Unmarshal(answer, &allocations); err != nil {
			t.Fatal(err)
		}
		if len(allocations) == 0 || allocations[0].ClientStatus != "complete" && allocations[0].ClientStatus != "failed" {
			continue
		}
		_, output := call(t, http.MethodGet, address+"/v1/client/fs/logs/"+allocations[0].ID+"?task=t&type=stdout&plain=true", nil)
		return string(output)
	}
}

// remove purges a job. The test's own context has ended when it is called.
func remove(t *testing.T, address, name string) {
	req, err := http.NewRequest(http.MethodDelete, address+"/v1/job/"+name+"?purge=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}

func call(t *testing.T, method, url string, body any) (int, []byte) {
	t.Helper()
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sent = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, sent)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

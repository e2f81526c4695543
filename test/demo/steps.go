package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// step is one thing that the demo shows.
type step struct {
	title string
	// name is for the sentence that says where the demo failed.
	name string
	do   func(ctx context.Context) error
}

// steps are what the demo shows. With KEEP=1 the app is not destroyed, because
// somebody wants to look at it.
func (d *demo) steps() []step {
	steps := []step{
		{"A repository becomes a healthy job", "deploy the first commit", d.deployFirst},
		{"The next commit replaces it", "deploy the second commit", d.deploySecond},
		{"A commit whose app crashes is rolled back", "deploy a commit that crashes", d.deployCrash},
	}
	if !d.settings.keep {
		steps = append(steps, step{"The job is destroyed", "destroy the job", d.destroy})
	}
	return steps
}

func (d *demo) deployFirst(ctx context.Context) error {
	return d.deploy(ctx, "commit 1", testbed.Sample{Version: "1"}, expected{status: "succeeded", answer: "hello from 1"})
}

func (d *demo) deploySecond(ctx context.Context) error {
	return d.deploy(ctx, "commit 2", testbed.Sample{Version: "2"}, expected{status: "succeeded", answer: "hello from 2"})
}

func (d *demo) deployCrash(ctx context.Context) error {
	const cause = "the database of this demo is missing"
	return d.deploy(ctx, "commit 3", testbed.Sample{Version: "3", Crash: cause}, expected{status: "failed", answer: "hello from 2"})
}

// expected is how a deployment must end.
type expected struct{ status, answer string }

// deploy pushes a commit, submits a task for it, and looks what came of it.
func (d *demo) deploy(ctx context.Context, column string, s testbed.Sample, want expected) error {
	commit, err := d.push(ctx, s)
	if err != nil {
		return err
	}
	r, err := d.submit(ctx, column, deployTask("demo-"+s.Version, d.bed.Git.Login().Password))
	if err != nil {
		return err
	}
	if err := r.check(want.status); err != nil {
		return err
	}
	if r.record.Commit != "" && r.record.Commit != commit {
		return fmt.Errorf("dispatchd deployed commit %s, want %s", r.record.Commit, commit)
	}
	for _, e := range r.events {
		if e.subject == subjectFailed {
			d.screen.say("%s says %s", e.subject, d.screen.style(red, e.reason+": "+e.sentence))
		}
	}
	if err := d.look(ctx, &r, want); err != nil {
		return err
	}
	d.results = append(d.results, r)
	return nil
}

// push commits a revision of examples/hello to the git server.
func (d *demo) push(ctx context.Context, s testbed.Sample) (commit string, err error) {
	s.Base = d.base
	files, err := testbed.SampleRepository(ctx, s)
	if err != nil {
		return "", err
	}
	commit, err = d.bed.Git.Publish(ctx, repository, "Version "+s.Version, files)
	if err != nil {
		return "", err
	}
	d.screen.say("pushed commit %s to %s/%s.git", short(commit, 12), d.bed.Git.Addr(), repository)
	return commit, nil
}

// submit sends a task, shows it to its end, and reads what was said about it.
func (d *demo) submit(ctx context.Context, column string, t task) (result, error) {
	file, err := t.write(d.dir, t.ID)
	if err != nil {
		return result{}, err
	}
	t.at = time.Now()
	if err := submit(ctx, d.binary, d.environ(), file, d.screen); err != nil {
		return result{}, err
	}
	return d.settled(ctx, column, t)
}

// settled reads the streams until everything is said: the legacy events follow
// the terminal record, with which submit ends.
func (d *demo) settled(ctx context.Context, column string, t task) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = poll(ctx, func() (bool, error) {
		r = result{column: column}
		err := d.streams.read(ctx, t, &r)
		return r.told(), err
	})
	if err != nil && r.record.Status != "" {
		err = fmt.Errorf("%w while waiting for the events of a task that %s: the streams hold %v", err, r.record.Status, r.events)
	}
	return r, err
}

// look asks Nomad and the app.
func (d *demo) look(ctx context.Context, r *result, want expected) error {
	a, err := one(ctx, d.bed.Nomad)
	if err != nil {
		return err
	}
	r.allocation = a.ID
	if r.answer, err = d.curl(ctx, a.url()); err != nil {
		return err
	}
	if r.answer != want.answer {
		return fmt.Errorf("the app answers %q, want %q", r.answer, want.answer)
	}
	if want.status != "succeeded" {
		return nil
	}
	runs, err := image(ctx, d.bed.Nomad)
	if err == nil && (runs != r.record.Image || r.digest() == "") {
		err = fmt.Errorf("the job runs the image %q and the record names %q, want the same digest", runs, r.record.Image)
	}
	return err
}

func (d *demo) curl(ctx context.Context, url string) (string, error) {
	d.screen.say("$ curl %s", url)
	status, text, err := get(ctx, url)
	if err != nil {
		return "", fmt.Errorf("the app does not answer: %w", err)
	}
	if status != 200 {
		return "", fmt.Errorf("the app answers %d: %s", status, text)
	}
	d.screen.say("%s", d.screen.style(bold, text))
	return text, nil
}

func (d *demo) destroy(ctx context.Context) error {
	before, err := one(ctx, d.bed.Nomad)
	if err != nil {
		return err
	}
	r, err := d.submit(ctx, "destroy", destroyTask("demo-destroy"))
	if err != nil {
		return err
	}
	if err := r.check("succeeded"); err != nil {
		return err
	}
	d.screen.say("$ curl %s", before.url())
	if _, text, err := get(ctx, before.url()); err == nil {
		return fmt.Errorf("the app still answers: %s", text)
	}
	d.screen.say("%s", d.screen.style(bold, "connection refused"))
	r.answer = "gone"
	d.results = append(d.results, r)
	return nil
}

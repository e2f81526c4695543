package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// wait says how to talk to what runs, and goes on when the user has had enough.
func (d *demo) wait(ctx context.Context) error {
	a, err := one(ctx, d.bed.Nomad)
	if err != nil {
		return err
	}
	d.screen.heading("Leaving everything running")
	files, err := d.leave(ctx)
	if err != nil {
		return err
	}
	d.screen.print(d.hints(ctx, a, files))
	d.screen.heading("Ctrl-C ends it")
	<-ctx.Done()
	return nil
}

// left are the files that make the platform easy to talk to.
type left struct{ env, deploy, destroy string }

// leave writes the environment and tasks without an id, which may be submitted
// again and again, puts an app that works on the branch, and opens the
// repository to pushes.
func (d *demo) leave(ctx context.Context) (files left, err error) {
	if _, err := d.push(ctx, testbed.Sample{Version: "4"}); err != nil {
		return files, err
	}
	var env strings.Builder
	for _, entry := range d.env {
		fmt.Fprintf(&env, "export %s\n", entry)
	}
	files.env = filepath.Join(d.dir, "env")
	if err := os.WriteFile(files.env, []byte(env.String()), 0o600); err != nil {
		return files, fmt.Errorf("write the environment: %w", err)
	}
	deploy := deployTask("", d.bed.Git.Login().Password)
	deploy.Params["deploymentId"] = "demo-again"
	if files.deploy, err = deploy.write(d.dir, "deploy"); err != nil {
		return files, err
	}
	if files.destroy, err = destroyTask("").write(d.dir, "destroy"); err != nil {
		return files, err
	}
	return files, d.bed.Git.Repositories.Configure(ctx, repository, map[string]string{"http.receivepack": "true"})
}

func (d *demo) hints(ctx context.Context, a allocation, files left) string {
	login := d.bed.Git.Login()
	clone := strings.Replace(d.bed.Git.Addr(), "//", "//"+login.Username+":"+login.Password+"@", 1) + "/" + repository + ".git"
	var b strings.Builder
	hint := func(what, how string) { fmt.Fprintf(&b, "\n  # %s\n  %s\n", what, how) }
	hint("the app", "curl "+a.url())
	hint("the environment of dispatchd and nomad", ". "+files.env)
	for _, entry := range d.env {
		fmt.Fprintf(&b, "  #   %s\n", entry)
	}
	hint("a change: edit VERSION in the Dockerfile, commit, push, and deploy it", "git clone "+clone)
	hint("deploy the branch main, with the live log", d.binary+" submit "+files.deploy)
	hint("remove the app", d.binary+" submit "+files.destroy)
	hint("Nomad", d.bed.Tools.Nomad+" job status "+jobName)
	fmt.Fprintf(&b, "  # %s\n", nomadPages(ctx, d.bed.Nomad.Addr()))
	hint("the service's metrics, and what it says", "curl "+d.worker.url+"/metrics")
	fmt.Fprintf(&b, "  tail -f %s\n", filepath.Join(d.dir, "log", "dispatchd.log"))
	return b.String()
}

// nomadPages says where Nomad's pages are. The one that was built here has none.
func nomadPages(ctx context.Context, addr string) string {
	if _, text, err := get(ctx, addr+"/ui/"); err != nil || strings.Contains(text, "not available in this binary") {
		return "this nomad was built without its pages; the API is at " + addr + "/v1/"
	}
	return "its pages are at " + addr + "/ui/"
}

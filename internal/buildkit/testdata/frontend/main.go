// Command frontend stands in for railpack's BuildKit frontend in tests: it
// takes the same settings, the same files and the same secrets, and runs the
// first command of each step with what the context's busybox can do.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
)

// plan is the part of a railpack plan that is carried out.
type plan struct {
	Steps []struct {
		Name     string `json:"name"`
		Commands []struct {
			Cmd string `json:"cmd"`
		} `json:"commands"`
	} `json:"steps"`
	Secrets []string `json:"secrets"`
	Deploy  struct {
		StartCommand string `json:"startCommand"`
	} `json:"deploy"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := grpcclient.RunFromEnvironment(ctx, build); err != nil {
		log.Fatal(err)
	}
}

func build(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	opts := c.BuildOpts().Opts
	p, err := readPlan(ctx, c, opts["filename"])
	if err != nil {
		return nil, err
	}
	files := llb.Local("context", llb.SessionID(c.BuildOpts().SessionID), llb.SharedKeyHint("local"))
	state := llb.Scratch()
	for _, program := range []string{"sh", "sha256sum"} {
		mode := llb.ChmodOpt{Mode: 0o755}
		state = state.File(llb.Copy(files, "busybox", "/bin/"+program, &llb.CopyInfo{CreateDestPath: true, Mode: &mode}))
	}
	hash := llb.Scratch().File(llb.Mkfile("/secrets-hash", 0o644, []byte(opts["build-arg:secrets-hash"])))
	for _, step := range p.Steps {
		for _, command := range step.Commands {
			options := []llb.RunOption{
				llb.Args([]string{"/bin/sh", "-c", command.Cmd}), llb.WithCustomName(command.Cmd),
				llb.AddMount("/secrets-hash", hash),
				llb.AddMount("/cache", llb.Scratch(), llb.AsPersistentCacheDir(opts["build-arg:cache-key"]+"-cache", llb.CacheMountShared)),
			}
			for _, name := range p.Secrets {
				options = append(options, llb.AddSecret(name, llb.SecretID(name), llb.SecretAsEnv(true), llb.SecretAsEnvName(name)))
			}
			state = state.Run(options...).Root()
		}
	}
	return result(ctx, c, state, p.Deploy.StartCommand)
}

func readPlan(ctx context.Context, c gateway.Client, name string) (p plan, err error) {
	source := llb.Local("dockerfile", llb.FollowPaths([]string{name}), llb.SessionID(c.BuildOpts().SessionID))
	definition, err := source.Marshal(ctx)
	if err != nil {
		return p, err
	}
	solved, err := c.Solve(ctx, gateway.SolveRequest{Definition: definition.ToPB()})
	if err != nil {
		return p, err
	}
	ref, err := solved.SingleRef()
	if err != nil {
		return p, err
	}
	text, err := ref.ReadFile(ctx, gateway.ReadRequest{Filename: name})
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(text, &p)
}

func result(ctx context.Context, c gateway.Client, state llb.State, start string) (*gateway.Result, error) {
	definition, err := state.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	solved, err := c.Solve(ctx, gateway.SolveRequest{Definition: definition.ToPB()})
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": runtime.GOARCH, "rootfs": map[string]any{"type": "layers"},
		"config": map[string]any{"Entrypoint": []string{"/bin/sh", "-c"}, "Cmd": []string{start}, "ExposedPorts": map[string]any{"4000/tcp": struct{}{}}},
	})
	if err != nil {
		return nil, err
	}
	solved.AddMeta(exptypes.ExporterImageConfigKey, config)
	return solved, nil
}

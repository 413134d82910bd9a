package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// namespace is the namespace of config/samples.
const namespace = "pipelines"

// kubectl runs kubectl with the environment's KUBECONFIG.
type kubectl struct {
	path string
	root string
}

// output runs kubectl and returns its output.
func (k kubectl) output(ctx context.Context, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, k.path, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &errs, os.Environ()
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// apply applies a kustomization of config/ server-side, so that it can be repeated.
func (k kubectl) apply(ctx context.Context, kustomization string) error {
	_, err := k.output(ctx, "apply", "--server-side", "--force-conflicts", "-k", filepath.Join(k.root, kustomization))
	return err
}

// install installs the emulator, the operator and the sample actions.
func (k kubectl) install(ctx context.Context) error {
	say("Installing the emulator of CodePipeline (config/local/emulator)")
	if err := k.deploy(ctx, "config/local/emulator", "codepipeline-emulator"); err != nil {
		return err
	}
	say("Installing the operator (config/local)")
	if err := k.deploy(ctx, "config/local", "pipelinejob-operator"); err != nil {
		return err
	}
	say("Applying the custom actions (config/samples)")
	if _, err := k.output(ctx, "wait", "--for=condition=Established", "crd/customactions.codepipeline.pipelinejob.dev", "--timeout=60s"); err != nil {
		return err
	}
	return k.apply(ctx, "config/samples")
}

// deploy applies a kustomization and waits for its Deployment. It restarts an existing one, because
// the image with the same name may have changed.
func (k kubectl) deploy(ctx context.Context, kustomization, name string) error {
	inSystem := func(args ...string) (string, error) {
		return k.output(ctx, append([]string{"-n", "pipelinejob-system"}, args...)...)
	}
	before, err := inSystem("get", "deployment", name, "--ignore-not-found", "-o", "name")
	if err != nil {
		return err
	}
	if err := k.apply(ctx, kustomization); err != nil {
		return err
	}
	if before != "" {
		if _, err := inSystem("rollout", "restart", "deployment/"+name); err != nil {
			return err
		}
	}
	_, err = inSystem("rollout", "status", "deployment/"+name, "--timeout=120s")
	return err
}

// waitForActions waits until the sample actions are registered and polled for.
func (k kubectl) waitForActions(ctx context.Context) error {
	_, err := k.output(ctx, "-n", namespace, "wait", "--for=condition=Ready", "customaction/build", "customaction/test", "--timeout=60s")
	return err
}

// phases returns the phases of an execution's PipelineJobs, by action.
func (k kubectl) phases(ctx context.Context, execution string) (map[string]string, error) {
	out, err := k.output(ctx, "-n", namespace, "get", "pipelinejobs", "-o",
		`jsonpath={range .items[*]}{.spec.pipeline.executionID}{" "}{.spec.pipeline.action}{" "}{.status.phase}{"\n"}{end}`)
	if err != nil {
		return nil, err
	}
	phases := map[string]string{}
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == execution {
			phases[fields[1]] = fields[2]
		}
	}
	return phases, nil
}

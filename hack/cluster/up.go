package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// Far more than a slow machine needs.
const upLimit = 3 * time.Minute

// givingUp is how often a component may end in quick succession before up reports the error instead
// of waiting.
const givingUp = 8

func up(ctx context.Context, c *cluster) error {
	if err := c.preflight(); err != nil {
		return err
	}
	release, err := c.lock(c.lockFile())
	if err != nil {
		return err
	}
	defer release()
	began := time.Now()
	initPID, n, err := c.ensureNode(ctx)
	if err != nil {
		return err
	}
	if err := c.waitHealthy(ctx, initPID, n); err != nil {
		return err
	}
	if err := c.loadImages(ctx, initPID); err != nil {
		return err
	}
	c.say("cluster %q is up (%.1f s). To use it:\n  export KUBECONFIG=%s", c.name, time.Since(began).Seconds(), c.kubeconfig())
	return nil
}

// preflight returns an error with everything that is missing.
func (c *cluster) preflight() error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster needs root, for containers and networks: run it with sudo")
	}
	var missing []error
	for _, tool := range []struct{ command, from string }{
		{"containerd", "package containerd"}, {"ctr", "package containerd"}, {"runc", "package runc"},
		{"nft", "package nftables"}, {"ip", "package iproute2"},
	} {
		if _, err := exec.LookPath(tool.command); err != nil {
			missing = append(missing, fmt.Errorf("%s is missing: install it (%s)", tool.command, tool.from))
		}
	}
	if _, err := findCNI(c.cni); err != nil {
		missing = append(missing, err)
	}
	for _, name := range componentNames() {
		if name == "containerd" {
			continue
		}
		if _, err := os.Stat(c.asset(name)); err != nil {
			missing = append(missing, fmt.Errorf("%s is missing: run make kube", c.asset(name)))
		}
	}
	return errors.Join(missing...)
}

// ensureNode starts the node, unless it is running and linked to the machine.
func (c *cluster) ensureNode(ctx context.Context) (int, network, error) {
	if pid := c.findInit(); pid != 0 {
		n, ok, err := c.loadNetwork()
		if err == nil && ok && c.linked() {
			return pid, n, c.writeConfig(n)
		}
		c.say("cluster %q has lost its network; starting its node again", c.name)
		if err := killInit(ctx, pid); err != nil {
			return 0, n, err
		}
	}
	return c.startNode(ctx)
}

func (c *cluster) startNode(ctx context.Context) (int, network, error) {
	release, err := c.lock(machineLock)
	if err != nil {
		return 0, network{}, err
	}
	defer release()
	// The link may be left by a node that has just ended.
	if err := c.unlink(); err != nil {
		return 0, network{}, err
	}
	n, err := c.chooseNetwork()
	if err != nil {
		return 0, n, err
	}
	// The pods of an ended node have ended too, but the kubelet would wait seconds for each cgroup
	// that it finds.
	if err := c.removeCgroups(ctx); err != nil {
		return 0, n, err
	}
	if err := c.makeCgroups(); err != nil {
		return 0, n, err
	}
	if err := c.writeConfig(n); err != nil {
		return 0, n, err
	}
	c.clearRecords()
	pid, err := c.startInit()
	if err != nil {
		return 0, n, err
	}
	if err := writeFile(c.runFile("init.pid"), []byte(strconv.Itoa(pid)+"\n"), 0o644); err != nil {
		return 0, n, errors.Join(err, killInit(ctx, pid))
	}
	if err := c.connect(pid, n); err != nil {
		return 0, n, errors.Join(err, c.withLog(nodeArg), killInit(ctx, pid))
	}
	return pid, n, nil
}

// clearRecords removes the records of an ended node.
func (c *cluster) clearRecords() {
	for _, name := range componentNames() {
		os.Remove(c.runFile(name + ".json"))
	}
}

// waitHealthy waits until all probes succeed in one round.
func (c *cluster) waitHealthy(ctx context.Context, initPID int, n network) error {
	probes, err := c.probes(initPID, n)
	if err != nil {
		return err
	}
	var culprit string
	err = poll(ctx, upLimit, func(ctx context.Context) error {
		if !alive(initPID) {
			culprit = nodeArg
			return stopPolling{errors.New("the node ended")}
		}
		for _, p := range probes {
			err := p.check(ctx)
			if err == nil {
				continue
			}
			// A probe that the deadline cut off says nothing about its component.
			if ctx.Err() == nil {
				culprit = p.name
			}
			if name := c.hopeless(); name != "" {
				culprit = name
				rec := c.recorded(name)
				return stopPolling{fmt.Errorf("it keeps ending (%s, %d times in a row)", rec.LastExit, rec.InARow)}
			}
			return err
		}
		return nil
	})
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%s: %w%w\nmake cluster-status shows all parts; make cluster-down && make cluster-up starts from scratch", culprit, err, c.withLog(culprit))
}

// hopeless returns a component that keeps ending, if there is one.
func (c *cluster) hopeless() string {
	for _, name := range componentNames() {
		if c.recorded(name).InARow >= givingUp {
			return name
		}
	}
	return ""
}

// withLog returns the end of a component's log, to append to an error.
func (c *cluster) withLog(name string) error {
	return fmt.Errorf("\nThe end of %s:\n%s", c.logFile(name), lastLines(c.logFile(name), 15))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

func status(ctx context.Context, c *cluster) error {
	pid := c.findInit()
	if pid == 0 {
		if _, err := os.Stat(c.dir); err == nil {
			return fmt.Errorf("cluster %q has stopped; make cluster-up starts it again with its data, make cluster-down deletes it", c.name)
		}
		return fmt.Errorf("cluster %q is not up; run make cluster-up", c.name)
	}
	n, ok, err := c.loadNetwork()
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("cluster %q has lost its folder; run make cluster-down", c.name)
	}
	fmt.Printf("cluster %s  %s  pods %s  services %s\nnode process %d  logs %s\nexport KUBECONFIG=%s\n\n",
		c.name, n.server(), n.pods(), n.services(), pid, c.path("logs"), c.kubeconfig())
	probes, err := c.probes(pid, n)
	if err != nil {
		return err
	}
	return c.printComponents(ctx, pid, probes)
}

func (c *cluster) printComponents(ctx context.Context, initPID int, probes []probe) error {
	pids := c.componentPIDs(initPID)
	healthy := true
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "COMPONENT\tPID\tFOR\tRESTARTS\tHEALTH")
	for _, name := range componentNames() {
		rec, pid, since := c.recorded(name), "-", "-"
		if p := pids[name]; p != 0 {
			pid, since = fmt.Sprint(p), time.Since(rec.Started).Round(time.Second).String()
		}
		health := "ok"
		if err := firstFailure(ctx, name, probes); err != nil {
			healthy, health = false, strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if rec.LastExit != "" {
			health += " (last ended: " + rec.LastExit + ")"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%d\t%s\n", name, pid, since, rec.Restarts, health)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if !healthy {
		return errors.New("not all parts are healthy; make cluster-up waits until they are, or says why not")
	}
	return nil
}

func firstFailure(ctx context.Context, name string, probes []probe) error {
	for _, p := range probes {
		if p.name != name {
			continue
		}
		if err := p.check(ctx); err != nil {
			return err
		}
	}
	return nil
}

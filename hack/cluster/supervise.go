package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A record is what the supervisor publishes about a component.
type record struct {
	Started  time.Time `json:"started"`
	Restarts int       `json:"restarts"`
	// InARow counts restarts in quick succession.
	InARow   int    `json:"inARow"`
	LastExit string `json:"lastExit,omitempty"`
}

// Logs of a long-running cluster must not fill the disk.
const logLimit = 64 << 20

// steadyAfter is how long a component must run before the count of restarts in a row is reset.
const steadyAfter = 30 * time.Second

// runNode starts the components and restarts those that end, like the init system of a real node.
func runNode(ctx context.Context, c *cluster) error {
	n, ok, err := c.loadNetwork()
	if err != nil {
		return err
	}
	if !ok || os.Getppid() != 1 {
		return fmt.Errorf("%s is started by up, not by hand", nodeArg)
	}
	if err := connectNode(ctx, n); err != nil {
		return err
	}
	for _, part := range c.components(n) {
		go c.keepRunning(part)
		if part.ready == nil {
			continue
		}
		// Continue even after the limit: a component that starts late still repairs the cluster,
		// and up reports the error until then.
		if err := poll(ctx, time.Minute, part.ready); err != nil {
			log.Printf("%s is not ready: %v", part.name, err)
		}
	}
	<-ctx.Done()
	return nil
}

func (c *cluster) keepRunning(part component) {
	var rec record
	for {
		rec.Started = time.Now()
		c.save(part.name, rec)
		err := c.runOnce(part)
		rec.LastExit = "exit status 0"
		if err != nil {
			rec.LastExit = err.Error()
		}
		rec.Restarts++
		if time.Since(rec.Started) > steadyAfter {
			rec.InARow = 0
		}
		rec.InARow++
		c.save(part.name, rec)
		log.Printf("%s ended: %s; start %d follows", part.name, rec.LastExit, rec.Restarts+1)
		<-time.After(restartDelay(rec.InARow)) // ends with the PID namespace, like the process
	}
}

// restartDelay grows, so that a component that can't run doesn't use up the machine.
func restartDelay(inARow int) time.Duration {
	return min(time.Duration(inARow)*500*time.Millisecond, 5*time.Second)
}

func (c *cluster) runOnce(part component) error {
	path, err := c.binary(part.name)
	if err != nil {
		return err
	}
	out, err := openLog(c.logFile(part.name))
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(path, part.args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Run()
}

func (c *cluster) save(name string, rec record) {
	data, err := json.Marshal(rec)
	if err == nil {
		err = writeFile(c.runFile(name+".json"), data, 0o644)
	}
	if err != nil {
		log.Printf("record of %s: %v", name, err)
	}
}

// recorded returns a component's record. It is empty if the component was never started.
func (c *cluster) recorded(name string) record {
	var rec record
	if data, err := os.ReadFile(c.runFile(name + ".json")); err == nil {
		_ = json.Unmarshal(data, &rec)
	}
	return rec
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.Size() > logLimit {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

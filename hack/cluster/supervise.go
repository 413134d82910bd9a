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

// A record is what the supervisor tells the world outside of a component.
type record struct {
	Started  time.Time `json:"started"`
	Restarts int       `json:"restarts"`
	// InARow counts the restarts that followed on each other quickly.
	InARow   int    `json:"inARow"`
	LastExit string `json:"lastExit,omitempty"`
}

// Logs of a cluster that stays up for weeks must not fill the disk.
const logLimit = 64 << 20

// steadyAfter is how long a component must have run for its next end to
// count as a first one again.
const steadyAfter = 30 * time.Second

// runNode starts the components and starts again those that end, for as long
// as the node lives: as the init system does on a real node.
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
		// Even after the limit: a part that comes up later still repairs the
		// cluster, and up reports what is wrong until then.
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
		<-time.After(restartDelay(rec.InARow)) // as the process, it ends with its PID namespace
	}
}

// restartDelay grows, so that a part that can't run doesn't take the machine.
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

// recorded is empty for a component that was never started.
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

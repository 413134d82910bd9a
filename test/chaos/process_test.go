//go:build chaos

package chaos

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// process is a program that is restarted whenever it ends, like a container by the kubelet, until
// stop.
type process struct {
	name string
	// args returns the arguments for each start.
	args func() []string
	env  []string
	dir  string // of the log
	// onLine, if set, gets each line of the log and the number of the start.
	onLine func(start int, line string)
	// onExit, if set, is called after each end.
	onExit func(start int)

	mu       sync.Mutex
	changed  *sync.Cond
	running  *os.Process
	starts   int
	held     bool // not started again
	stopping bool
	done     chan struct{}
}

// restartAfter is the delay before a restart.
const restartAfter = 200 * time.Millisecond

// start starts the program for the first time.
func (p *process) start() {
	p.changed, p.done = sync.NewCond(&p.mu), make(chan struct{})
	go p.keep()
}

// keep keeps the program running. The kernel kills it together with the thread that started it.
// This goroutine is locked to its thread, so that the program never outlives the test.
func (p *process) keep() {
	runtime.LockOSThread()
	defer close(p.done)
	for p.once() {
		timer := time.NewTimer(restartAfter)
		<-timer.C
	}
}

// once runs the program until it ends. It reports whether to restart it.
func (p *process) once() bool {
	p.mu.Lock()
	for p.held && !p.stopping {
		p.changed.Wait()
	}
	if p.stopping {
		p.mu.Unlock()
		return false
	}
	command, logs, err := p.begin()
	p.mu.Unlock()
	if err == nil {
		p.read(logs)
		err = command.Wait()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = nil
	p.note(fmt.Sprintf("start %d ended: %v", p.starts, err))
	if p.onExit != nil {
		p.onExit(p.starts)
	}
	p.changed.Broadcast()
	return !p.stopping
}

// begin starts the program. The caller holds the lock.
func (p *process) begin() (*exec.Cmd, io.Reader, error) {
	p.starts++
	args := p.args()
	command := exec.Command(args[0], args[1:]...) //nolint:noctx // a signal ends it
	command.Env = append(os.Environ(), p.env...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	logs, err := command.StderrPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := command.Start(); err != nil {
		return nil, nil, err
	}
	p.running = command.Process
	return command, logs, nil
}

// read copies the log to a file, line by line, until the program ends.
func (p *process) read(logs io.Reader) {
	lines := bufio.NewReader(logs)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			p.note(line)
			if p.onLine != nil {
				p.onLine(p.starts, line)
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *process) logFile() string { return filepath.Join(p.dir, p.name+".log") }

func (p *process) note(line string) {
	file, err := os.OpenFile(p.logFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return // only people read the log
	}
	defer func() { _ = file.Close() }()
	if line[len(line)-1] != '\n' {
		line += "\n"
	}
	_, _ = file.WriteString(line)
}

// signal sends a signal to the program, if it is running.
func (p *process) signal(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		_ = p.running.Signal(signal) // it may have just ended
	}
}

// hold kills the program, waits until it has ended, and prevents restarts until release.
func (p *process) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
	p.killed()
}

func (p *process) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = false
	p.changed.Broadcast()
}

// stop ends the program. It is not restarted.
func (p *process) stop() {
	if p.done == nil {
		return // it was never started
	}
	p.mu.Lock()
	p.stopping = true
	p.changed.Broadcast()
	p.killed()
	p.mu.Unlock()
	<-p.done
}

// killed kills the program and waits until it has ended. The caller holds the lock.
func (p *process) killed() {
	if p.running != nil {
		_ = p.running.Signal(syscall.SIGKILL) // it may have just ended; a frozen one ends too
	}
	for p.running != nil {
		p.changed.Wait()
	}
}

// count returns how often the program was started.
func (p *process) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// until polls a condition.
func until(ctx context.Context, every time.Duration, what string, holds func() bool) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
	}
	return nil
}

// pause waits. It reports whether ctx has not ended.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

//go:build bench

package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// process is a program that runs until the test ends.
type process struct {
	name string
	pid  int
	// log is the file with the program's output.
	log string
	// ended is closed when the program has ended, with err.
	ended chan struct{}
	err   error
}

// stopWithin is how long a program may take to end after SIGTERM.
const stopWithin = 40 * time.Second

// launch starts a program in a new process group. It ends with the test, or with this process if
// that is killed.
func launch(t *testing.T, name, path string, environment []string, arguments ...string) *process {
	g := NewWithT(t)
	p := &process{name: name, log: filepath.Join(t.TempDir(), name+".log"), ended: make(chan struct{})}
	log, err := os.Create(p.log)
	g.Expect(err).NotTo(HaveOccurred())
	command := exec.Command(path, arguments...)
	command.Env = append(os.Environ(), environment...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	g.Expect(command.Start()).To(Succeed())
	p.pid = command.Process.Pid
	go func() {
		if p.err = command.Wait(); p.err == nil {
			p.err = errors.New("without an error")
		}
		_ = log.Close()
		close(p.ended)
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// running returns an error if the program has ended.
func (p *process) running() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended by itself: %w\n%s", p.name, p.err, p.tail())
	default:
		return nil
	}
}

func (p *process) stop(t *testing.T) {
	if err := p.running(); err != nil {
		t.Error(err)
		return
	}
	_ = syscall.Kill(-p.pid, syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopWithin):
		t.Logf("%s did not end within %s and is killed\n%s", p.name, stopWithin, p.tail())
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		<-p.ended
	}
	if t.Failed() {
		t.Logf("the end of the log of %s:\n%s", p.name, p.tail())
	}
}

// tail returns the last lines of the log.
func (p *process) tail() string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// childOf returns the process ID of the only child of this process with a name.
func childOf(g *WithT, name string) int {
	found := children()[name]
	g.Expect(found).To(HaveLen(1), name)
	return found[0]
}

// children returns the process IDs of the children of this process, by name.
func children() map[string][]int {
	found := map[string][]int{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is valid
	for _, file := range files {
		command, fields, err := stat(file)
		if err != nil || fields[1] != strconv.Itoa(os.Getpid()) {
			continue // the process may have ended
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			found[command] = append(found[command], pid)
		}
	}
	return found
}

// stat reads /proc/PID/stat: the name of the command, and the fields after it.
func stat(file string) (command string, fields []string, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	text := string(content)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	fields = strings.Fields(text[end+1:])
	if open < 0 || end < open || len(fields) < 13 {
		return "", nil, fmt.Errorf("%s does not have the form of proc(5)", file)
	}
	return text[open+1 : end], fields, nil
}

// freePort returns a free TCP port of the loopback interface.
func freePort(g *WithT) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(listener.Close()).To(Succeed()) }()
	return listener.Addr().(*net.TCPAddr).Port
}

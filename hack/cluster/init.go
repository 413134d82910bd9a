package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// Commands with which this program starts itself. They are not in the usage text, because they
// would do harm outside of the cluster's namespaces.
const (
	nodeInitArg = "node-init"
	nodeArg     = "node"
)

// startInit starts the first process of a new set of namespaces. It gets its own session, so that
// it outlives the command that started it.
func (c *cluster) startInit() (pid int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	log, err := openLog(c.logFile(nodeArg))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(self, c.args(nodeInitArg)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the node in namespaces of its own: %w (this needs root, and a kernel or container that lets it make namespaces)", err)
	}
	return cmd.Process.Pid, nil
}

// args returns the command line of one of the cluster's processes. It has the cluster's folder,
// which identifies the process.
func (c *cluster) args(command string) []string {
	return []string{command, "--root=" + c.root, "--name=" + c.name, "--assets=" + c.assets, "--images=" + c.images}
}

// nodeInit is the first process of the PID namespace. It only prepares the namespaces, starts the
// node and reaps orphans, because the whole cluster ends with it.
func nodeInit(_ context.Context, c *cluster) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("%s is started by up, not by hand", nodeInitArg)
	}
	if err := c.mountNode(); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(c.nodeName())); err != nil {
		return fmt.Errorf("set the node's host name: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	node, err := os.StartProcess(self, append([]string{self}, c.args(nodeArg)...), &os.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		return err
	}
	return reapUntil(node.Pid)
}

// reapUntil reaps ended processes until the given one ends.
func reapUntil(pid int) error {
	for {
		var ws syscall.WaitStatus
		got, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return fmt.Errorf("wait for the node: %w", err)
		case got == pid:
			return fmt.Errorf("the node's supervisor ended (exit status %d, signal %v)", ws.ExitStatus(), ws.Signal())
		}
	}
}

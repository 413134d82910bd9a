package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// cmdline is what a process was started with; nil if there is no such
// process any more.
func cmdline(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(string(bytes.TrimRight(data, "\x00")), "\x00")
}

// alive reports whether the process with an ID on this machine runs. A zombie
// does not.
func alive(pid int) bool {
	state := procState(pid)
	return state != 0 && state != 'Z' && state != 'X'
}

// procState is the state letter of a process (Z: dead and not collected yet),
// 0 for none.
func procState(pid int) byte {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return statState(string(data))
}

// statState reads the state after the name, which may itself hold spaces and
// brackets.
func statState(stat string) byte {
	_, rest, ok := strings.Cut(stat[max(0, strings.LastIndexByte(stat, ')')):], ") ")
	if !ok || rest == "" {
		return 0
	}
	return rest[0]
}

// isInit reports whether a command line is that of this cluster's first
// process, so that no other is ever taken for it.
func (c *cluster) isInit(args []string) bool {
	return len(args) > 3 && slices.Equal(args[1:4], c.args(nodeInitArg)[:3])
}

// findInit returns the ID of the cluster's first process, 0 if it isn't
// running. The recorded ID counts only when the process that has it now is
// the right one; a record that got lost is made good by looking for it.
func (c *cluster) findInit() int {
	if data, err := os.ReadFile(c.runFile("init.pid")); err == nil {
		pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
		if pid > 0 && c.isInit(cmdline(pid)) && alive(pid) {
			return pid
		}
	}
	for _, pid := range allPIDs() {
		if c.isInit(cmdline(pid)) && alive(pid) {
			return pid
		}
	}
	return 0
}

func allPIDs() []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	pids := make([]int, 0, len(dirs))
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// componentPIDs finds the cluster's own processes, by name, with the IDs that
// they have on the machine.
func (c *cluster) componentPIDs(initPID int) map[string]int {
	pids := map[string]int{}
	want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", initPID))
	if err != nil {
		return pids
	}
	names := componentNames()
	for _, pid := range allPIDs() {
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err != nil || got != want {
			continue
		}
		args := cmdline(pid)
		if len(args) == 0 {
			continue
		}
		if name := filepath.Base(args[0]); slices.Contains(names, name) && procState(pid) != 'Z' {
			pids[name] = pid
		}
	}
	return pids
}

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

// cmdline returns the command line of a process, or nil if it has ended.
func cmdline(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(string(bytes.TrimRight(data, "\x00")), "\x00")
}

// alive reports whether a process of this machine is running. Zombies don't count.
func alive(pid int) bool {
	state := procState(pid)
	return state != 0 && state != 'Z' && state != 'X'
}

// procState returns the state letter of a process (Z for a zombie), or 0 if there is none.
func procState(pid int) byte {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return statState(string(data))
}

// statState parses the state after the name, which may itself contain spaces and brackets.
func statState(stat string) byte {
	_, rest, ok := strings.Cut(stat[max(0, strings.LastIndexByte(stat, ')')):], ") ")
	if !ok || rest == "" {
		return 0
	}
	return rest[0]
}

// isInit reports whether a command line is that of this cluster's first process.
func (c *cluster) isInit(args []string) bool {
	return len(args) > 3 && slices.Equal(args[1:4], c.args(nodeInitArg)[:3])
}

// findInit returns the ID of the cluster's first process, or 0 if it is not running. It uses the
// recorded ID only if it still belongs to that process. If the record is lost, it searches all
// processes.
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

// componentPIDs returns the IDs, on the machine, of the cluster's processes by name.
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

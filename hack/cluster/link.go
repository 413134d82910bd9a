package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// The node's end of its link to the machine.
const nodeLink = "eth0"

// connect connects the machine to the node with a pair of interfaces, and routes to the node's pods
// and Services. The kernel removes all of them together with the node's network namespace.
func (c *cluster) connect(initPID int, n network) error {
	for _, args := range [][]string{
		{"link", "add", c.id(), "type", "veth", "peer", "name", nodeLink, "netns", strconv.Itoa(initPID)},
		{"addr", "add", n.host().String() + "/30", "dev", c.id()},
		{"link", "set", c.id(), "up"},
		{"route", "add", n.pods().String(), "via", n.node().String()},
		{"route", "add", n.services().String(), "via", n.node().String()},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

// connectNode does the same on the node's side, once the machine's side exists.
func connectNode(ctx context.Context, n network) error {
	err := poll(ctx, 20*time.Second, func(context.Context) error {
		_, err := net.InterfaceByName(nodeLink)
		return err
	})
	if err != nil {
		return fmt.Errorf("the node was not linked with the machine: %w", err)
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", n.node().String() + "/30", "dev", nodeLink},
		{"link", "set", nodeLink, "up"},
		{"route", "add", "default", "via", n.host().String()},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	if err := rejectUnknownServices(n); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

// rejectUnknownServices rejects packets to unused Service addresses, in particular that of the
// missing DNS server. kube-proxy drops such packets, so every DNS lookup would wait for a timeout.
// The rule must precede kube-proxy's.
func rejectUnknownServices(n network) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`table ip cluster {
	chain unknown {
		type filter hook forward priority filter - 10;
		ip daddr %s reject
	}
}`, n.services()))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

// linked reports whether the machine's end still exists.
func (c *cluster) linked() bool {
	_, err := net.InterfaceByName(c.id())
	return err == nil
}

// unlink removes the machine's end. The kernel removes a network namespace some time after its last
// process, so the end may also disappear on its own.
func (c *cluster) unlink() error {
	if !c.linked() {
		return nil
	}
	err := ip("link", "del", c.id())
	if err != nil && c.linked() {
		return err
	}
	return nil
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("no ip command: install iproute2")
	}
	if err != nil {
		return fmt.Errorf("ip %s: %s", strings.Join(args, " "), strings.TrimSpace(string(out)))
	}
	return nil
}

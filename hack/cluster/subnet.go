package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Every cluster has a block of 1024 addresses of 10.213.0.0/16, for the link between the machine
// and the node, the pods and the Services.
const blocks = 64

// A network has a cluster's addresses.
type network struct {
	Block int `json:"block"`
}

func (n network) addr(third, last int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 213, byte(4*n.Block + third), byte(last)})
}

func (n network) all() netip.Prefix      { return netip.PrefixFrom(n.addr(0, 0), 22) }
func (n network) host() netip.Addr       { return n.addr(0, 1) }
func (n network) node() netip.Addr       { return n.addr(0, 2) }
func (n network) pods() netip.Prefix     { return netip.PrefixFrom(n.addr(1, 0), 24) }
func (n network) services() netip.Prefix { return netip.PrefixFrom(n.addr(2, 0), 24) }
func (n network) apiService() netip.Addr { return n.addr(2, 1) }
func (n network) dnsService() netip.Addr { return n.addr(2, 10) }

// pickNetwork returns the first free block. The search starts at a block that depends on the
// cluster's identity, so that a cluster usually gets the same addresses again.
func pickNetwork(id string, used []netip.Prefix) (network, error) {
	h := fnv.New32a()
	h.Write([]byte(id))
	start := int(h.Sum32() % blocks)
	for i := range blocks {
		n := network{Block: (start + i) % blocks}
		if overlapping(n.all(), used) == nil {
			return n, nil
		}
	}
	return network{}, fmt.Errorf("all of 10.213.0.0/16 is in use on this machine: take down a cluster (make cluster-down) or free a part of it")
}

func overlapping(p netip.Prefix, used []netip.Prefix) *netip.Prefix {
	for i := range used {
		if used[i].Overlaps(p) {
			return &used[i]
		}
	}
	return nil
}

// usedPrefixes returns the networks in which this machine has addresses or to which it has routes,
// except for those of one interface.
func usedPrefixes(except string) ([]netip.Prefix, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var used []netip.Prefix
	for _, link := range links {
		if link.Name == except {
			continue
		}
		addrs, err := link.Addrs()
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", link.Name, err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				used = append(used, p.Masked())
			}
		}
	}
	table, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil, err
	}
	return append(used, parseRoutes(string(table), except)...), nil
}

// parseRoutes parses the kernel's table of IPv4 routes. It skips the default route, which overlaps
// with everything.
func parseRoutes(table, except string) []netip.Prefix {
	var routes []netip.Prefix
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] == except {
			continue
		}
		dest, err1 := strconv.ParseUint(f[1], 16, 32)
		mask, err2 := strconv.ParseUint(f[7], 16, 32)
		if err1 != nil || err2 != nil || mask == 0 {
			continue
		}
		var ip, bits [4]byte
		binary.NativeEndian.PutUint32(ip[:], uint32(dest))
		binary.NativeEndian.PutUint32(bits[:], uint32(mask))
		ones, _ := net.IPMask(bits[:]).Size()
		routes = append(routes, netip.PrefixFrom(netip.AddrFrom4(ip), ones))
	}
	return routes
}

// loadNetwork reads the cluster's previous addresses. ok is false for a new cluster.
func (c *cluster) loadNetwork() (n network, ok bool, err error) {
	data, err := os.ReadFile(c.path("network.json"))
	if os.IsNotExist(err) {
		return n, false, nil
	}
	if err != nil {
		return n, false, err
	}
	if err := json.Unmarshal(data, &n); err != nil || n.Block < 0 || n.Block >= blocks {
		return n, false, fmt.Errorf("%s is damaged; run make cluster-down, then make cluster-up", c.path("network.json"))
	}
	return n, true, nil
}

// chooseNetwork keeps the addresses of an existing cluster, because its certificates and stored
// objects contain them.
func (c *cluster) chooseNetwork() (network, error) {
	used, err := usedPrefixes(c.id())
	if err != nil {
		return network{}, err
	}
	n, ok, err := c.loadNetwork()
	if err != nil {
		return n, err
	}
	if ok {
		if taken := overlapping(n.all(), used); taken != nil {
			return n, fmt.Errorf("addresses of cluster %q (%s) have meanwhile been taken by %s; run make cluster-down, then make cluster-up", c.name, n.all(), taken)
		}
		return n, nil
	}
	if n, err = pickNetwork(c.id(), used); err != nil {
		return n, err
	}
	data, err := json.Marshal(n)
	if err != nil {
		return n, err
	}
	return n, writeFile(c.path("network.json"), data, 0o644)
}

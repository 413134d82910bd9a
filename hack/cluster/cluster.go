package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// A cluster has the paths and names of everything that belongs to it on the machine.
type cluster struct {
	name   string
	root   string // the folder of all clusters
	dir    string // the folder of this cluster
	assets string
	images string
	cni    []string // folders where CNI plug-ins may be
	quiet  bool
}

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// Folders over which the node mounts its own. The machine's content is not visible to the node.
var hiddenFolders = []string{"/var/lib", "/var/log", "/run", "/proc"}

func newCluster(opts options) (*cluster, error) {
	if !validName.MatchString(opts.name) {
		return nil, fmt.Errorf("%q can't be a cluster's name: use up to 32 lower-case letters, digits and inner hyphens (CLUSTER=name)", opts.name)
	}
	c := &cluster{name: opts.name, cni: cniFolders, quiet: opts.quiet}
	for _, p := range []struct {
		into *string
		path string
	}{{&c.root, opts.root}, {&c.assets, opts.assets}, {&c.images, opts.images}} {
		abs, err := absolute(p.path)
		if err != nil {
			return nil, err
		}
		for _, hidden := range hiddenFolders {
			if strings.HasPrefix(abs+"/", hidden+"/") {
				return nil, fmt.Errorf("%s is under %s, which the node replaces by its own: use a checkout somewhere else", abs, hidden)
			}
		}
		*p.into = abs
	}
	c.dir = filepath.Join(c.root, c.name)
	return c, nil
}

// id identifies the cluster on the machine. It depends on the folder, so that clusters with the
// same name in two checkouts don't conflict. It is short because interface names have at most 15
// characters.
func (c *cluster) id() string {
	sum := sha256.Sum256([]byte(c.dir))
	return "pjc" + hex.EncodeToString(sum[:4])
}

func (c *cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

func (c *cluster) kubeconfig() string         { return c.path("kubeconfig") }
func (c *cluster) nodeName() string           { return c.name + "-node" }
func (c *cluster) pki(file string) string     { return c.path("pki", file) }
func (c *cluster) etc(file string) string     { return c.path("etc", file) }
func (c *cluster) logFile(part string) string { return c.path("logs", part+".log") }
func (c *cluster) auditLog() string           { return c.logFile("audit") }
func (c *cluster) runFile(file string) string { return c.path("run", file) }
func (c *cluster) asset(binary string) string { return filepath.Join(c.assets, binary) }
func (c *cluster) lockFile() string           { return c.dir + ".lock" }
func (c *cluster) cgroup() string             { return "/" + c.id() }
func (c *cluster) say(format string, a ...any) {
	if !c.quiet {
		fmt.Printf(format+"\n", a...)
	}
}

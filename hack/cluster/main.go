// Command cluster runs a real Kubernetes cluster of one node on this machine,
// without a container engine, an image registry or a virtual machine.
//
// The whole cluster runs in its own PID, mount and network namespaces. Several clusters can
// therefore run at the same time with the same ports and paths, and "down" is reliable: when the
// first process of the PID namespace ends, the kernel kills all other processes in it and removes
// the mounts and the network, whatever has crashed before.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const usage = `Usage: cluster COMMAND [flags]

Commands:
  up          start the cluster, or heal it; load the images in --images
  down        stop the cluster and delete everything that belongs to it
  status      say which parts run and whether they are healthy
  load        import the image archives in --images that have changed
  kubeconfig  print the path of the kubeconfig
  audit-log   print the path of the API server's log of the operator's requests

Flags:
`

type options struct {
	root, name, assets, images string
	quiet                      bool
}

func main() {
	err := runUntilSignal(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
}

func runUntilSignal(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, args)
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{"help"}
	}
	opts := options{}
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.StringVar(&opts.root, "root", ".cluster", "folder that holds a folder for each cluster")
	flags.StringVar(&opts.name, "name", envOr("CLUSTER", "local"), "the cluster's name (default: $CLUSTER)")
	flags.StringVar(&opts.assets, "assets", "bin/k8s", "folder with etcd, kube-apiserver, kubelet, ...")
	flags.StringVar(&opts.images, "images", "bin/images", "folder with image archives to load")
	flags.BoolVar(&opts.quiet, "quiet", false, "print nothing but errors")
	flags.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flags.PrintDefaults()
	}
	command := commands[args[0]]
	if command == nil {
		flags.Usage()
		return flag.ErrHelp
	}
	if err := flags.Parse(args[1:]); err != nil {
		return flag.ErrHelp
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	c, err := newCluster(opts)
	if err != nil {
		return err
	}
	return command(ctx, c)
}

var commands map[string]func(context.Context, *cluster) error

// Set here to avoid an initialization cycle: the commands start this program again.
func init() {
	commands = map[string]func(context.Context, *cluster) error{
		"up":         up,
		"down":       down,
		"status":     status,
		"load":       load,
		"kubeconfig": printKubeconfig,
		"audit-log":  printAuditLog,
		nodeInitArg:  nodeInit,
		nodeArg:      runNode,
	}
}

func printKubeconfig(_ context.Context, c *cluster) error {
	if _, err := os.Stat(c.kubeconfig()); err != nil {
		return fmt.Errorf("cluster %q has no kubeconfig: it is not up; run make cluster-up", c.name)
	}
	fmt.Println(c.kubeconfig())
	return nil
}

func printAuditLog(_ context.Context, c *cluster) error {
	if _, err := os.Stat(c.auditLog()); err != nil {
		return fmt.Errorf("cluster %q has no audit log: if it was started before it had one, run make cluster-down && make cluster-up", c.name)
	}
	fmt.Println(c.auditLog())
	return nil
}

func envOr(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	// Resolve links, so that the same cluster always has the same identity.
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real, nil
	}
	return abs, nil
}

// Command gobuild runs "go build" and shows its progress: on a slow machine, building Kubernetes
// takes many minutes, in which the go command prints nothing.
//
// Usage: gobuild [-C folder] [-ldflags flags] -o file package
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
	"time"

	"golang.org/x/term"
)

func main() {
	b, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gobuild:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = b.run(ctx, newReporter(os.Stderr, term.IsTerminal(int(os.Stderr.Fd())), time.Now))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gobuild:", err)
		os.Exit(1)
	}
}

func parse(args []string) (build, error) {
	var b build
	flags := flag.NewFlagSet("gobuild", flag.ContinueOnError)
	flags.StringVar(&b.folder, "C", ".", "the folder to run the go command in")
	flags.StringVar(&b.ldflags, "ldflags", "", "flags of the linker")
	flags.StringVar(&b.output, "o", "", "the file to write")
	if err := flags.Parse(args); err != nil {
		return build{}, err
	}
	if b.output == "" || flags.NArg() != 1 {
		return build{}, errors.New("-o and one package are required")
	}
	b.pkg = flags.Arg(0)
	var err error
	b.output, err = filepath.Abs(b.output) // the go command runs in another folder
	return b, err
}

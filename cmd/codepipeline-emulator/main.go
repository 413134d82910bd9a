// Command codepipeline-emulator emulates AWS CodePipeline for laptops and tests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(o.listen, o.emulator)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "codepipeline-emulator:", err)
		os.Exit(1)
	}
}

func run(listen string, o emulator.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := emulator.Start(listen, o)
	if err != nil {
		return err
	}
	o.Logger.Info("Listening", "url", server.URL(), "region", o.Region, "account", o.AccountID)
	<-ctx.Done()
	return server.Close()
}

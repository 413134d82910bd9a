// Command step is the helper for steps. They find it as
// /codepipeline/bin/codepipeline, read-only, with its path in $CODEPIPELINE.
package main

import (
	"cmp"
	"os"

	"github.com/pipelinejob/pipelinejob-operator/internal/helper"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

func main() {
	os.Exit(helper.Program{
		// A step may run it with another environment.
		Folder: cmp.Or(os.Getenv(podcontract.EnvResult), podcontract.ResultDir),
		Stdin:  os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}.Run(os.Args[1:]))
}

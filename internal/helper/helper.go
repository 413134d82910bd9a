// Package helper implements the program that steps may call to report their results. Steps can also
// write the files of package podcontract themselves, but the helper checks their rules immediately,
// while the step can still correct an error, and replaces files atomically.
package helper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// Exit codes.
const (
	exitOK = 0
	// exitRefused: the result breaks a rule or can't be written.
	exitRefused = 1
	// exitUsage: the command line is invalid.
	exitUsage = 2
)

const usage = `codepipeline writes the results of a step, into the folder $CODEPIPELINE_RESULT.

  codepipeline progress PERCENT [SUMMARY]  how much of the work is done: 0 to 100
  codepipeline summary TEXT                the result of the work, or its current state
  codepipeline output KEY=VALUE...         output variables of the action, added to existing ones
  codepipeline external-id ID              the work's ID elsewhere, for the link in the console
  codepipeline continue TOKEN              run the action again later, with this token
  codepipeline revision [--created TIME] [--summary TEXT] REVISION CHANGE
                                           the revision that a source action found
  codepipeline help                        this text

In place of a TEXT, an ID or a TOKEN, and of all KEY=VALUE, - reads standard input.
Exit codes: 0, 1 (a result breaks a rule or can't be written), 2 (an invalid command line).
`

// Program has the inputs and outputs of the helper.
type Program struct {
	// Folder is the result folder.
	Folder         string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Run runs a command line and returns the exit code.
func (p Program) Run(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(p.Stderr, usage)
		return exitUsage
	}
	name, args := args[0], args[1:]
	if name == "help" || name == "--help" || name == "-h" {
		fmt.Fprint(p.Stdout, usage)
		return exitOK
	}
	err := p.do(name, args)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(p.Stderr, "codepipeline %s: %v\n", name, err)
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitRefused
}

func (p Program) do(name string, args []string) error {
	command, known := commands[name]
	if !known {
		return usageError("unknown command: see codepipeline help")
	}
	if len(args) < command.least || len(args) > command.most {
		return usageError("usage: codepipeline " + strings.TrimSpace(name+" "+command.takes))
	}
	// Read before locking the folder: the program that writes to standard input may use the helper
	// too.
	stdin, err := p.readStdin(args)
	if err != nil {
		return err
	}
	folder, err := openFolder(p.Folder)
	if err != nil {
		return err
	}
	defer folder.close()
	files, err := command.files(given{args, stdin, folder})
	if err != nil {
		return err
	}
	return folder.write(files)
}

// fromStdin is the argument that stands for standard input.
const fromStdin = "-"

// readStdin reads standard input if an argument is fromStdin, and returns nil otherwise.
func (p Program) readStdin(args []string) (io.Reader, error) {
	if !slices.Contains(args, fromStdin) {
		return nil, nil
	}
	content, err := io.ReadAll(io.LimitReader(p.Stdin, podcontract.MaxResultFile+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	return bytes.NewReader(content), nil
}

// usageError is the reason why a command line is invalid.
type usageError string

func (e usageError) Error() string { return string(e) }

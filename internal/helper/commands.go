package helper

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// command is a subcommand. It returns the files to write.
type command struct {
	takes string
	// least and most bound the number of arguments.
	least, most int
	files       func(given) ([]file, error)
}

const takenByRevision = "[--created TIME] [--summary TEXT] REVISION CHANGE"

var commands = map[string]command{
	"progress":    {"PERCENT [SUMMARY]", 1, 2, progress},
	"summary":     {"TEXT", 1, 1, summary},
	"output":      {"KEY=VALUE...", 1, math.MaxInt, output},
	"external-id": {"ID", 1, 1, externalID},
	"continue":    {"TOKEN", 1, 1, continuation},
	"revision":    {takenByRevision, 2, math.MaxInt, revision},
}

// given is the input of a command.
type given struct {
	args   []string
	stdin  io.Reader
	folder *folder
}

// file is a result file to write.
type file struct {
	name    string
	content []byte
}

func line(name, text string) file { return file{name, []byte(text + "\n")} }

func progress(g given) ([]file, error) {
	files := []file{line(podcontract.FilePercentComplete, g.args[0])}
	if len(g.args) == 1 {
		return files, nil
	}
	told, err := g.text(podcontract.FileSummary, g.args[1])
	return append(files, told), err
}

func summary(g given) ([]file, error) {
	told, err := g.text(podcontract.FileSummary, g.args[0])
	return []file{told}, err
}

// text returns a file with the argument or standard input as content.
func (g given) text(name, arg string) (file, error) {
	if arg != fromStdin {
		return line(name, arg), nil
	}
	content, err := podcontract.ReadResultFile(name, g.stdin)
	return file{name, content}, err
}

func externalID(g given) ([]file, error) {
	told, err := g.text(podcontract.FileExternalExecutionID, g.args[0])
	return []file{told}, err
}

func continuation(g given) ([]file, error) {
	told, err := g.text(podcontract.FileContinuationToken, g.args[0])
	return []file{told}, err
}

// output adds variables to the existing ones. It overwrites a variable that exists already, because
// the value of a later step wins.
func output(g given) ([]file, error) {
	before, err := g.folder.read(podcontract.FileOutputVariables)
	if err != nil {
		return nil, err
	}
	next, err := g.variables()
	if err != nil {
		return nil, err
	}
	variables := map[string]string{}
	maps.Copy(variables, before.OutputVariables)
	maps.Copy(variables, next.OutputVariables)
	var content strings.Builder
	for _, key := range slices.Sorted(maps.Keys(variables)) {
		if err := hasRoom(key, variables[key]); err != nil {
			return nil, err
		}
		fmt.Fprintf(&content, "%s=%s\n", key, variables[key])
	}
	return []file{{podcontract.FileOutputVariables, []byte(content.String())}}, nil
}

// variables parses the variables of the command line in the same way as the lines of a file.
func (g given) variables() (podcontract.Result, error) {
	var taken podcontract.Result
	if slices.Equal(g.args, []string{fromStdin}) {
		content, err := podcontract.ReadResultFile(podcontract.FileOutputVariables, g.stdin)
		if err != nil {
			return taken, err
		}
		return taken, taken.Take(podcontract.FileOutputVariables, content)
	}
	for _, arg := range g.args {
		key, value, found := strings.Cut(arg, "=")
		if !found {
			return taken, usageError(fmt.Sprintf("%.50q must be KEY=VALUE", arg))
		}
		if err := hasRoom(key, value); err != nil {
			return taken, err
		}
	}
	return taken, taken.Take(podcontract.FileOutputVariables, []byte(strings.Join(g.args, "\n")))
}

func hasRoom(key, value string) error {
	if !strings.ContainsAny(key+value, "\r\n") {
		return nil
	}
	return fmt.Errorf("the value of %.50q has a line break, which %s can't hold: encode it, or write %s",
		key, podcontract.FileOutputVariables, podcontract.FileResult)
}

func revision(g given) ([]file, error) {
	var found podcontract.Revision
	flags := flag.NewFlagSet("revision", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // Run prints the error
	flags.StringVar(&found.RevisionSummary, "summary", "", "")
	flags.Func("created", "", func(text string) error {
		created, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return fmt.Errorf("must be a time as in 2006-01-02T15:04:05Z (RFC 3339)")
		}
		found.Created = &created
		return nil
	})
	if err := flags.Parse(g.args); err != nil {
		return nil, usageError(err.Error())
	}
	if flags.NArg() != 2 {
		return nil, usageError("usage: codepipeline revision " + takenByRevision)
	}
	found.Revision, found.ChangeIdentifier = flags.Arg(0), flags.Arg(1)
	if found.RevisionSummary == fromStdin {
		told, err := g.text(podcontract.FileSummary, fromStdin)
		if err != nil {
			return nil, err
		}
		found.RevisionSummary = strings.TrimSpace(string(told.content))
	}
	if !utf8.ValidString(found.Revision + found.ChangeIdentifier + found.RevisionSummary) {
		return nil, fmt.Errorf("%s: not UTF-8", podcontract.FileRevision) // the encoder would replace invalid bytes
	}
	content, err := json.Marshal(found)
	if err != nil {
		return nil, fmt.Errorf("encode the revision: %w", err)
	}
	return []file{{podcontract.FileRevision, content}}, nil
}

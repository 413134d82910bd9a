package jobspec

import (
	"path/filepath"
	"regexp"
	"strings"
)

// beginsScript matches an option after which programs take a script from the command line:
// sh -c, bash -lc, su -c, python -c.
var beginsScript = regexp.MustCompile(`^-[a-z]*c$`)

// shells have options that may be joined to their -c in any order, as in sh -ce, and the long
// form --command.
var (
	shells = map[string]bool{
		"sh": true, "ash": true, "bash": true, "csh": true, "dash": true, "fish": true, "ksh": true, "mksh": true, "rbash": true,
		"runuser": true, "su": true, "tcsh": true, "yash": true, "zsh": true,
	}
	beginsShellScript = regexp.MustCompile(`^(?:[-+][A-Za-z]*c[A-Za-z]*|--c[a-z]*(?:=.*)?)$`)
	// splitsCommand matches the option with which env takes a whole command line from one
	// argument, even one that may be a shell's.
	splitsCommand = regexp.MustCompile(`^(?:-[iv0]*S|--split)`)
)

// scriptsIn reports which elements of a command line, command and args together, may be a
// script: those from an option that begins one to the first operand. Options may stand between
// the two (sh -c -e -- SCRIPT), and have arguments (bash -euoc pipefail SCRIPT). The elements
// are as a program gets them, except for what is beyond expandedLength.
func scriptsIn(line []string) []bool {
	scripts := make([]bool, len(line))
	script, shell := operands{}, operands{} // up to the script, and of a shell
	afterEnv := false
	for i, element := range line {
		begins := beginsScript.MatchString(element) || shell.awaited() && beginsShellScript.MatchString(element)
		splits := afterEnv && splitsCommand.MatchString(element)
		scripts[i] = script.awaited() || splits || begins && strings.Contains(element, "=")
		script.pass(element)
		shell.pass(element)
		switch {
		case splits:
			script.await(len(line), "")
		case begins && strings.HasPrefix(element, "--"):
			script.await(1, "")
		case begins, len(element) == expandedLength && isOption(element):
			script.await(1, element)
		}
		if name := filepath.Base(element); shells[name] {
			shell.await(1, "")
			if name == "su" || name == "runuser" {
				shell.await(2, "") // the user may come before the options
			}
		}
		afterEnv = afterEnv || filepath.Base(element) == "env"
	}
	return scripts
}

// operands counts the operands that are still to come on a command line.
type operands struct{ left int }

func (o *operands) awaited() bool { return o.left > 0 }

// await waits for at least count operands, and for the arguments of an option.
func (o *operands) await(count int, option string) {
	o.left = max(o.left, count+argumentsOf(option))
}

// pass goes on over an element of the command line.
func (o *operands) pass(element string) {
	switch {
	case o.left == 0:
	case isOption(element):
		o.left += argumentsOf(element)
	default:
		o.left--
	}
}

func isOption(element string) bool {
	return strings.HasPrefix(element, "-") || strings.HasPrefix(element, "+")
}

// argumentsOf is how many arguments an option of a shell may have: -o and -O have one, also in
// a cluster, and a long option may have one.
func argumentsOf(option string) int {
	switch {
	case option == "--":
		return 0
	case strings.HasPrefix(option, "--"):
		return 1
	default:
		return strings.Count(option, "o") + strings.Count(option, "O")
	}
}

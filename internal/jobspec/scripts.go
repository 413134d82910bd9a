package jobspec

import (
	"path/filepath"
	"regexp"
	"strings"
)

// beginsScript matches options that are followed by a script: sh -c, bash -lc, su -c, python -Ic.
var beginsScript = regexp.MustCompile(`^-[A-Za-z]*c$`)

// shells accept -c combined with other options in any order, as in sh -ce, and the long form
// --command. su also has --session-command.
var (
	shells = map[string]bool{
		"sh": true, "ash": true, "bash": true, "csh": true, "dash": true, "fish": true, "ksh": true, "mksh": true, "rbash": true,
		"runuser": true, "su": true, "tcsh": true, "yash": true, "zsh": true,
	}
	beginsShellScript = regexp.MustCompile(`^(?:[-+][A-Za-z]*c[A-Za-z]*|--(?:session-)?c[a-z]*(?:=.*)?)$`)
	// splitsCommand matches env's option for a whole command line in one argument, which may be
	// that of a shell.
	splitsCommand = regexp.MustCompile(`^(?:-[iv0]*S|--split)`)
)

// scriptsIn reports which elements of a command line, which is command and args together, may be a
// script: those from an option such as -c to the first operand. There may be options in between (sh
// -c -e -- SCRIPT), which may have arguments (bash -euoc pipefail SCRIPT). The elements are
// expanded, up to expandedLength.
func scriptsIn(line []string) []bool {
	scripts := make([]bool, len(line))
	script, shell := operands{}, operands{} // until the script, and until a shell's operand
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
		if name := strings.TrimRight(filepath.Base(element), ".-0123456789"); shells[name] { // bash-5.2, ksh93
			shell.await(1, "")
			if name == "su" || name == "runuser" {
				shell.await(2, "") // the user may come before the options
			}
		}
		afterEnv = afterEnv || filepath.Base(element) == "env"
	}
	return scripts
}

// operands counts the remaining operands of a command line.
type operands struct{ left int }

func (o *operands) awaited() bool { return o.left > 0 }

// await expects at least count more operands, plus the arguments of an option.
func (o *operands) await(count int, option string) {
	o.left = max(o.left, count+argumentsOf(option))
}

// pass passes an element of the command line.
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

// argumentsOf returns how many arguments a shell's option may have: -o and -O have one each, also
// in combined options, and a long option may have one.
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

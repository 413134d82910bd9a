// Package needs skips tests that need something this machine lacks, and makes them fail
// where all tests must run: with REQUIRE_TOOLS set, as "make test" does.
package needs

import (
	"os"
	"os/exec"
	"testing"
)

// requireTools is the environment variable that makes a test fail rather than skip.
const requireTools = "REQUIRE_TOOLS"

// Program skips the test if a program, given by name or path, is not there.
func Program(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		lacking(t, "needs the program "+name+", which is not there: "+err.Error())
	}
}

// Root skips the test if its user is not root. Why completes "needs root to …".
func Root(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		lacking(t, "needs root to "+why)
	}
}

func lacking(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(requireTools) != "" {
		t.Fatalf("%s, and $%s is set", what, requireTools)
	}
	t.Skip(what)
}

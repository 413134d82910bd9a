// Package needs skips tests whose requirements this machine does not meet. If REQUIRE_TOOLS is set,
// as by "make test", such tests fail instead.
package needs

import (
	"os"
	"os/exec"
	"testing"
)

// requireTools is the environment variable that makes a test fail rather than skip.
const requireTools = "REQUIRE_TOOLS"

// Program skips the test if a program, given by name or path, does not exist.
func Program(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		lacking(t, "needs the program "+name+", which is not there: "+err.Error())
	}
}

// Root skips the test if the user is not root. why completes "needs root to …".
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

package needs

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	. "github.com/onsi/gomega"
)

// recorder records how a test ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (*recorder) Helper() {}

func (r *recorder) Skip(args ...any) {
	r.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// record runs a test in a separate goroutine, like package testing.
func record(test func(testing.TB)) *recorder {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(r)
	}()
	<-done
	return r
}

func TestProgram(t *testing.T) {
	g := NewWithT(t)
	missing := func(t testing.TB) { Program(t, "no-such-program") }

	t.Setenv(requireTools, "")
	r := record(missing)
	g.Expect(r.skipped).To(HavePrefix("needs the program no-such-program, which is not there"))
	g.Expect(r.failed).To(BeEmpty())

	t.Setenv(requireTools, "1")
	r = record(missing)
	g.Expect(r.skipped).To(BeEmpty())
	g.Expect(r.failed).To(And(HavePrefix("needs the program no-such-program"), HaveSuffix("and $REQUIRE_TOOLS is set")))

	r = record(func(t testing.TB) { Program(t, "sh") })
	g.Expect(r.skipped + r.failed).To(BeEmpty())
}

func TestRoot(t *testing.T) {
	g := NewWithT(t)
	t.Setenv(requireTools, "")
	r := record(func(t testing.TB) { Root(t, "change the root folder") })
	if os.Geteuid() == 0 {
		g.Expect(r.skipped).To(BeEmpty())
		return
	}
	g.Expect(r.skipped).To(Equal("needs root to change the root folder"))
}

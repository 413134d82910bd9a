//go:build bench

package bench

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/gomega"
)

// tick is the unit of processor times in /proc/PID/stat: USER_HZ, which is 100 on all of Go's
// architectures.
const tick = time.Second / 100

// usage is the resource usage of a process.
type usage struct {
	cpu            time.Duration
	resident, peak float64 // MiB
}

func usageOf(g *WithT, pid int) usage {
	_, fields, err := stat(fmt.Sprintf("/proc/%d/stat", pid))
	g.Expect(err).NotTo(HaveOccurred())
	var u usage
	for _, field := range fields[11:13] { // utime and stime
		ticks, err := strconv.Atoi(field)
		g.Expect(err).NotTo(HaveOccurred())
		u.cpu += time.Duration(ticks) * tick
	}
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = status.Close() }()
	lines := bufio.NewScanner(status)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch name {
		case "VmRSS":
			u.resident = mebibytes(g, value)
		case "VmHWM":
			u.peak = mebibytes(g, value)
		}
	}
	g.Expect(lines.Err()).NotTo(HaveOccurred())
	return u
}

// mebibytes parses a size such as " 1024 kB".
func mebibytes(g *WithT, text string) float64 {
	size, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 64)
	g.Expect(err).NotTo(HaveOccurred())
	return size / 1024
}

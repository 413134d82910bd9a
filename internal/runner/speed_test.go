//go:build bench && !race

package runner

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

// largeTree creates 2 GiB in a few hundred files, half of which are compressible.
func largeTree(g Gomega, folder string) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		sub := filepath.Join(folder, fmt.Sprintf("d%02d", i%20))
		g.Expect(os.MkdirAll(sub, 0o777)).To(Succeed())
		fill(g, filepath.Join(sub, fmt.Sprintf("f%03d", i)), random, (1+i%10)<<20*2<<10/2200, i/10%2 == 0)
	}
}

// wideTree creates 100,000 small files.
func wideTree(g Gomega, folder string) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 100_000 {
		sub := filepath.Join(folder, fmt.Sprintf("package-%03d/src", i%500))
		g.Expect(os.MkdirAll(sub, 0o777)).To(Succeed())
		fill(g, filepath.Join(sub, fmt.Sprintf("file-%05d.txt", i)), random, 100+random.IntN(4000), true)
	}
}

func TestSpeedOfArtifacts(t *testing.T) {
	g := NewWithT(t)
	runner := buildRunner(g, t.TempDir())
	fmt.Println("| artifact | what | runner | AWS CLI and Info-ZIP | ratio | runner's peak RSS |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	measure(t, runner, "2 GiB in 400 files", largeTree)
	measure(t, runner, "100,000 small files", wideTree)
}

func measure(t *testing.T, runner, name string, mk func(Gomega, string)) {
	w := newWorkshop(t, runner)
	mk(w, w.tree)
	packed := filepath.Join(w.base, "packed.zip")
	theirs := timed(w, w.tree, "zip", "-qry", packed, ".").
		and(timed(w, w.base, "aws", "s3", "cp", "--only-show-errors", "--sse=aws:kms", packed, "s3://bucket/theirs"))
	w.hand([]string{"theirs"}, "ours")
	ours := timed(w, w.base, w.command("report")...)
	report(name, "report", ours, theirs)

	w.Expect(os.Remove(packed)).To(Succeed())
	theirs = timed(w, w.base, "aws", "s3", "cp", "--only-show-errors", "s3://bucket/theirs", packed).
		and(timed(w, w.base, "unzip", "-q", packed, "-d", "unzipped"))
	ours = timed(w, w.base, w.command("fetch")...)
	report(name, "fetch", ours, theirs)
	run(w, w.base, "diff", "-r", "unzipped", w.input("theirs"))
	run(w, w.base, "diff", "-r", w.tree, w.input("theirs"))
	run(w, w.base, "unzip", "-tqq", "bucket/ours")
}

func (c cost) and(next cost) cost { return cost{c.wall + next.wall, max(c.rss, next.rss)} }

// timed runs a command, after the writes of earlier ones are on disk.
func timed(g Gomega, folder string, command ...string) cost {
	syscall.Sync()
	used := run(g, folder, command...)
	if filepath.Base(command[0]) == "runner" {
		g.Expect(used.rss).To(BeNumerically("<", maxMemory))
	}
	return used
}

func report(name, what string, ours, theirs cost) {
	fmt.Printf("| %s | %s | %.1f s | %.1f s | %.2f | %d MiB |\n", name, what,
		ours.wall.Seconds(), theirs.wall.Seconds(), ours.wall.Seconds()/theirs.wall.Seconds(), ours.rss)
}

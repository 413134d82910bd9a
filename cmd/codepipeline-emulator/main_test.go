package main

import (
	"log/slog"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

func TestRunFailsOnAnAddressThatCannotBeHad(t *testing.T) {
	g := NewWithT(t)
	err := run("256.0.0.1:0", emulator.Options{Logger: slog.New(slog.DiscardHandler)})
	g.Expect(err).To(MatchError(ContainSubstring("listen on 256.0.0.1:0")))
}

func TestRunFailsOnATakenAddress(t *testing.T) {
	g := NewWithT(t)
	other, err := emulator.New(emulator.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(other.Start("127.0.0.1:0")).To(Succeed())
	defer func() { g.Expect(other.Close()).To(Succeed()) }()
	options := emulator.Options{Logger: slog.New(slog.DiscardHandler), Buckets: []string{"twice", "twice"}}
	g.Expect(run(other.URL()[len("http://"):], options)).To(MatchError(ContainSubstring("address already in use")))
}

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
	other := emulator.StartT(t, emulator.Options{})
	options := emulator.Options{Logger: slog.New(slog.DiscardHandler)}
	g.Expect(run(other.URL()[len("http://"):], options)).To(MatchError(ContainSubstring("address already in use")))
}

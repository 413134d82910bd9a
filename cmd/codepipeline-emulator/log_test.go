package main

import (
	"bytes"
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/emulator"
)

func TestLogFormats(t *testing.T) {
	g := NewWithT(t)
	for format, isJSON := range map[string]bool{"text": false, "json": true} {
		var out bytes.Buffer
		var o emulator.Options
		g.Expect(logTo(&o, &out, format)).To(Succeed())
		o.Logger.Info("Listening")
		g.Expect(json.Valid(out.Bytes())).To(Equal(isJSON), format)
		g.Expect(out.String()).To(ContainSubstring("Listening"))
	}
	g.Expect(logTo(&emulator.Options{}, &bytes.Buffer{}, "xml")).To(MatchError(ContainSubstring("--log-format")))
}

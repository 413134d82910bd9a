package pipelinejob

import (
	"testing"

	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

func TestMain(m *testing.M) { harness.Run(m) }

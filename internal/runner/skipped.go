package runner

import (
	"log/slog"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// maxSkippedLogged is how many entries that are left out of an artifact are logged: an
// archive may have millions.
const maxSkippedLogged = 20

// skippedLog logs the entries that are left out of an artifact, one line each for the
// first ones.
type skippedLog struct {
	log     *slog.Logger
	options Options
	count   int
}

func (o Options) skipped(artifact podcontract.Artifact) *skippedLog {
	return &skippedLog{log: o.Log.With("artifact", artifact.Name), options: o}
}

// rules are those of the artifact. What they skip is logged.
func (s *skippedLog) rules() archive.Rules {
	return archive.Rules{Limits: s.options.Limits, Links: s.options.Links, Skipped: s.add}
}

func (s *skippedLog) add(entry string, rule error) {
	if s.count++; s.count <= maxSkippedLogged {
		s.log.Warn("Left an entry out", "entry", entry, "reason", rule)
	}
}

// conclude logs how many entries were left out in all, if some were not logged.
func (s *skippedLog) conclude() {
	if s.count > maxSkippedLogged {
		s.log.Warn("Left more entries out", "all", s.count)
	}
}

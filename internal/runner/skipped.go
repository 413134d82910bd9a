package runner

import (
	"log/slog"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// maxSkippedLogged is how many skipped entries of an artifact are logged: an archive may have
// millions.
const maxSkippedLogged = 20

// skippedLog logs the skipped entries of an artifact: the first ones with a line each.
type skippedLog struct {
	log     *slog.Logger
	options Options
	count   int
}

func (o Options) skipped(artifact podcontract.Artifact) *skippedLog {
	return &skippedLog{log: o.Log.With("artifact", artifact.Name), options: o}
}

// rules returns the rules for the artifact, which log skipped entries.
func (s *skippedLog) rules() archive.Rules {
	return archive.Rules{Limits: s.options.Limits, Links: s.options.Links, Skipped: s.add}
}

func (s *skippedLog) add(entry string, rule error) {
	if s.count++; s.count <= maxSkippedLogged {
		s.log.Warn("Skipped an entry", "entry", entry, "reason", rule)
	}
}

// conclude logs the total number of skipped entries, if some were not logged.
func (s *skippedLog) conclude() {
	if s.count > maxSkippedLogged {
		s.log.Warn("Skipped more entries", "all", s.count)
	}
}

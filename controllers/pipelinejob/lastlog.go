package pipelinejob

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/plaintext"
)

// explain returns a failure's message as everyone may read it. It leaves out the log lines
// that spec.failureLog forbids. The steps of a job with secret properties know the values and
// may print them, as a shell does under "set -x", so the values are masked.
func (r *Reconciler) explain(ctx context.Context, s state, failure *diagnosis.Failure) (string, error) {
	job := s.job
	failure, leftOut := r.withoutLog(ctx, s, failure)
	if len(job.Spec.SecretConfiguration) == 0 {
		return failure.Message, nil
	}
	secrets, err := r.secretValues(ctx, job)
	switch {
	case err == nil:
		return withoutSecrets(failure, r.lastLog(ctx, job.Namespace, failure.Log), secrets), nil
	case verdictOf(operationDetails, err, false) == verdictGone || r.pastReadGrace(job):
		if leftOut {
			return failure.Message, nil
		}
		what, _, _ := strings.Cut(failure.Message, "\n")
		return diagnosis.WithLog(what, "(The last log lines are left out: they may contain secrets of the action, and CodePipeline did not return the values to mask.)"), nil
	default:
		return "", r.callFailed(ctx, job, v1alpha1.ConditionComplete,
			fmt.Errorf("read the secret properties from CodePipeline, to mask them: %w", err))
	}
}

// withoutSecrets returns the message of a failure, with the last log lines of a step if the
// failure names one. The step's termination message is then left out: the kubelet, or the
// limit of a failure's message, may have cut a secret in half, and half a secret is not
// masked.
func withoutSecrets(failure *diagnosis.Failure, log string, secrets []string) string {
	what := failure.Message
	if failure.Log != nil {
		what, _, _ = strings.Cut(what, "\n")
	}
	// Escape sequences are removed first: inside a secret, they would keep it from being found.
	return diagnosis.WithLog(masked(what, secrets), masked(plaintext.Of(log), secrets))
}

// secretValues reads the values of the job's secret properties from CodePipeline: the operator
// does not keep them, and may not read Secrets.
func (r *Reconciler) secretValues(ctx context.Context, job *v1alpha1.PipelineJob) ([]string, error) {
	api, err := r.codePipeline(ctx, job)
	if err != nil {
		return nil, err
	}
	details, err := api.GetJobDetails(ctx, job.Spec.CodePipelineJob.ID)
	if err != nil {
		return nil, err
	}
	var values []string
	for _, name := range job.Spec.SecretConfiguration {
		values = append(values, details.Configuration[name])
	}
	return values, nil
}

// pastReadGrace reports whether reading the result has failed for longer than ReadGrace. The
// condition has the time of the first failure.
func (r *Reconciler) pastReadGrace(job *v1alpha1.PipelineJob) bool {
	known := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionComplete)
	return known != nil && r.Clock.Now().Sub(known.LastTransitionTime.Time) >= ReadGrace
}

// Bounds on the last log lines in a failure's message: as many lines as the kubelet puts into
// a termination message, and more bytes than any message has room for.
const (
	lastLogLines = 80
	lastLogBytes = 64 << 10
	// lastLogTimeout is shorter than the timeout for a result's log, which is indispensable.
	lastLogTimeout = 5 * time.Second
)

// lastLog returns the last log lines of a step. If the log can't be read, it returns a note
// instead: the failure must not wait for its log.
func (r *Reconciler) lastLog(ctx context.Context, namespace string, from *diagnosis.StepLog) string {
	if from == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, lastLogTimeout)
	defer cancel()
	stream, err := r.Logs.Open(ctx, namespace, from.Pod, from.Container, lastLogLines)
	if err != nil {
		return fmt.Sprintf("(The last log lines can't be read: %v)", err)
	}
	defer func() { _ = stream.Close() }() // nothing was written
	var last tail
	if _, err := io.Copy(&last, stream); err != nil {
		return fmt.Sprintf("(The last log lines can't be read: %v)", err)
	}
	return last.text()
}

// tail keeps the end of what is written to it.
type tail struct {
	content []byte
	cut     bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.content = append(t.content, p...)
	if over := len(t.content) - lastLogBytes; over > 0 {
		t.content, t.cut = append(t.content[:0], t.content[over:]...), true
	}
	return len(p), nil
}

// text returns the complete lines that were kept: a secret without its first half would not be
// found.
func (t *tail) text() string {
	text := string(t.content)
	if t.cut {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

const mask = "***"

// shortestLine is the length in bytes from which a line of a multi-line secret is masked by
// itself: shorter lines are braces and the like.
const shortestLine = 4

// masked replaces secrets in a text with the mask, both unchanged and as plaintext.Of leaves
// them. It does not find secrets that a program has encoded. The lines of a multi-line secret
// are also masked one by one, because a log may contain only some of them.
func masked(text string, secrets []string) string {
	var told strings.Builder
	end := 0
	for _, at := range merged(placesOf(text, secrets)) {
		told.WriteString(text[end:at.from])
		told.WriteString(mask)
		end = at.to
	}
	told.WriteString(text[end:])
	return told.String()
}

// span is a range of bytes in a text: from is its first byte, and to is the one after its
// last.
type span struct{ from, to int }

// placesOf returns all places of secrets in a text. They may overlap: masking one after the
// other would leave a part of a secret.
func placesOf(text string, secrets []string) []span {
	var places []span
	for _, part := range partsOf(secrets) {
		for from := 0; ; from++ {
			at := strings.Index(text[from:], part)
			if at < 0 {
				break
			}
			from += at
			places = append(places, span{from, from + len(part)})
		}
	}
	return places
}

// merged joins overlapping spans, and sorts them.
func merged(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var apart []span
	for _, s := range spans {
		if last := len(apart) - 1; last >= 0 && s.from < apart[last].to {
			apart[last].to = max(apart[last].to, s.to)
			continue
		}
		apart = append(apart, s)
	}
	return apart
}

// partsOf returns the distinct texts to mask.
func partsOf(secrets []string) []string {
	var parts []string
	for _, secret := range secrets {
		parts = append(parts, secret, strings.TrimSpace(secret), plaintext.Of(secret), strings.TrimSpace(plaintext.Of(secret)))
		for _, line := range strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' }) {
			for _, line := range []string{strings.TrimSpace(line), strings.TrimSpace(plaintext.Of(line))} {
				if len(line) >= shortestLine {
					parts = append(parts, line)
				}
			}
		}
	}
	slices.Sort(parts)
	return slices.DeleteFunc(slices.Compact(parts), func(part string) bool { return part == "" })
}

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

// explain gives a failure's message as everybody may read it: without log lines that
// spec.failureLog leaves out. The steps of a job with secret properties know their values, and
// may print them, as a shell does under "set -x": they are masked in all messages.
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
		return diagnosis.WithLog(what, "(What the step printed is left out: it may hold secrets of the action, and CodePipeline did not tell them any more.)"), nil
	default:
		return "", r.callFailed(ctx, job, v1alpha1.ConditionComplete,
			fmt.Errorf("ask CodePipeline for the secrets that a step may have printed: %w", err))
	}
}

// withoutSecrets is the message of a failure, with the last lines of a step's log if the failure
// names it. A termination message of the step is left out then: the kubelet, or the limit of a
// failure's message, may have cut off half a secret, which is not known for one.
func withoutSecrets(failure *diagnosis.Failure, log string, secrets []string) string {
	what := failure.Message
	if failure.Log != nil {
		what, _, _ = strings.Cut(what, "\n")
	}
	// Escape sequences go first: within a secret they would hide it.
	return diagnosis.WithLog(masked(what, secrets), masked(plaintext.Of(log), secrets))
}

// secretValues are those of the job's secret properties, read again from CodePipeline:
// the operator does not keep them, and may not read Secrets.
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

// pastReadGrace reports whether reading the result has failed for longer than
// ReadGrace: the condition has the time of the first failure.
func (r *Reconciler) pastReadGrace(job *v1alpha1.PipelineJob) bool {
	known := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionComplete)
	return known != nil && r.Clock.Now().Sub(known.LastTransitionTime.Time) >= ReadGrace
}

// What a failure's message has of a step's log: at most as many lines as the
// kubelet takes, and more bytes than any message has room for.
const (
	lastLogLines = 80
	lastLogBytes = 64 << 10
	// lastLogTimeout is shorter than that of a result's log, which can't be done without.
	lastLogTimeout = 5 * time.Second
)

// lastLog returns the last log lines of a step. A log that can't be read is no reason to
// keep the failure back, which names it.
func (r *Reconciler) lastLog(ctx context.Context, namespace string, from *diagnosis.StepLog) string {
	if from == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, lastLogTimeout)
	defer cancel()
	stream, err := r.Logs.Open(ctx, namespace, from.Pod, from.Container, lastLogLines)
	if err != nil {
		return fmt.Sprintf("(What it printed can't be read: %v)", err)
	}
	defer func() { _ = stream.Close() }() // it was only read from
	var last tail
	if _, err := io.Copy(&last, stream); err != nil {
		return fmt.Sprintf("(What it printed can't be read: %v)", err)
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

// text is the whole lines that were kept: a secret of which the first half was
// cut off would not be known for one.
func (t *tail) text() string {
	text := string(t.content)
	if t.cut {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

// mask stands in the place of a secret.
const mask = "***"

// shortestLine is, in bytes, the shortest line of a secret of several lines that
// is a secret by itself: braces and the like are none.
const shortestLine = 4

// masked takes secrets out of a text, as they are and as plaintext.Of leaves them: not those
// that a program has encoded. One of several lines is masked line by line, too, because a
// log may have only some of them.
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

// span is a part of a text, in bytes: from is its first, and to the one after its last.
type span struct{ from, to int }

// placesOf are all places of secrets in a text. They may overlap: masking one after another
// would leave a part of a secret.
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

// merged has one span for those that overlap, in order.
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

// partsOf are the texts to mask, each once.
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

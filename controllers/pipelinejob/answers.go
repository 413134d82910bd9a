package pipelinejob

import "github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"

// verdict is what an answer of CodePipeline means for a job.
type verdict string

const (
	// verdictTaken: the call had its effect; if not now, then in an earlier try
	// whose answer was lost.
	verdictTaken verdict = "Taken"
	// verdictLost: another worker has the job.
	verdictLost verdict = "Lost"
	// verdictGone: CodePipeline no longer waits for the job.
	verdictGone verdict = "Gone"
	// verdictRefused: CodePipeline will never take this request.
	verdictRefused verdict = "Refused"
	// verdictAgain: the call had no effect; it is tried again.
	verdictAgain verdict = "Again"
	// verdictUnclear: the call may have had its effect; it is tried again.
	verdictUnclear verdict = "Unclear"
)

// answer is a verdict, and the one after an earlier try whose answer is not
// known.
type answer struct{ first, later verdict }

func always(v verdict) answer { return answer{v, v} }

// answers has what each error of each operation means. What is not here is unclear: the
// call may have had its effect. docs/protocol.md shows the table to users.
var answers = map[string]map[codepipeline.Kind]answer{
	operationAcknowledge: {
		codepipeline.InvalidNonce: {verdictLost, verdictTaken},
		codepipeline.JobNotFound:  always(verdictGone),
		codepipeline.Refused:      always(verdictRefused),
		codepipeline.Throttled:    always(verdictAgain),
		codepipeline.AccessDenied: always(verdictAgain),
	},
	operationDetails: {
		codepipeline.JobNotFound:  always(verdictGone),
		codepipeline.Refused:      always(verdictAgain), // the job's result is what counts
		codepipeline.Throttled:    always(verdictAgain),
		codepipeline.AccessDenied: always(verdictAgain),
	},
	operationSuccess: reportAnswers,
	operationFailure: reportAnswers,
}

var reportAnswers = map[codepipeline.Kind]answer{
	codepipeline.JobNotFound:     {verdictGone, verdictTaken},
	codepipeline.InvalidJobState: {verdictGone, verdictTaken},
	codepipeline.Refused:         always(verdictRefused),
	codepipeline.Throttled:       always(verdictAgain),
	codepipeline.AccessDenied:    always(verdictAgain),
}

// verdictOf returns what the answer to a call means; earlier reports whether there was
// a try before it whose answer is not known.
func verdictOf(operation string, err error, earlier bool) verdict {
	if err == nil {
		return verdictTaken
	}
	known, ok := answers[operation][codepipeline.KindOf(err)]
	switch {
	case !ok:
		return verdictUnclear
	case earlier:
		return known.later
	default:
		return known.first
	}
}

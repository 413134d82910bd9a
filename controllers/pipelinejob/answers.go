package pipelinejob

import "github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"

// verdict is what an answer from CodePipeline means for a job.
type verdict string

const (
	// verdictTaken: the call had its effect, now or in an earlier try whose answer was lost.
	verdictTaken verdict = "Taken"
	// verdictLost: another worker has the job.
	verdictLost verdict = "Lost"
	// verdictGone: CodePipeline no longer waits for the job.
	verdictGone verdict = "Gone"
	// verdictRefused: CodePipeline will never accept this request.
	verdictRefused verdict = "Refused"
	// verdictAgain: the call had no effect; it is tried again.
	verdictAgain verdict = "Again"
	// verdictUnclear: the call may have had its effect; it is tried again.
	verdictUnclear verdict = "Unclear"
)

// answer has the verdict for a first try, and the verdict after an earlier try whose answer is
// unknown.
type answer struct{ first, later verdict }

func always(v verdict) answer { return answer{v, v} }

// answers has the meaning of each error of each operation. An error that is not listed is
// unclear: the call may have had its effect. docs/protocol.md shows this table to users.
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
		codepipeline.Refused:      always(verdictAgain), // only the answer to the report decides
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

// verdictOf returns what the answer to a call means. Set earlier if there was a try before it
// whose answer is unknown.
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

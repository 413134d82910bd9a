package v1alpha1

const (
	// LabelCustomAction is on every PipelineJob, Job, Pod and Secret: the name of the
	// CustomAction that they belong to. Here and below, a name that is not a
	// valid label value is replaced by its digest.
	LabelCustomAction = "codepipeline.pipelinejob.dev/custom-action"
	// LabelPipeline, LabelStage and LabelAction are on the same objects: the names of
	// the pipeline, of its stage and of its action.
	LabelPipeline = "codepipeline.pipelinejob.dev/pipeline"
	LabelStage    = "codepipeline.pipelinejob.dev/stage"
	LabelAction   = "codepipeline.pipelinejob.dev/action"
	// LabelPipelineJob is on every PipelineJob, Job, Pod and Secret: the name of the
	// PipelineJob, or of the one that the object belongs to.
	LabelPipelineJob = "codepipeline.pipelinejob.dev/pipeline-job"
	// LabelRun is on every Job and Pod: the number of the run.
	LabelRun = "codepipeline.pipelinejob.dev/run"

	// AnnotationAbandoned is on a PipelineJob whose action CodePipeline no longer waits
	// for, as one of its events says: its work is stopped, and no result is reported.
	AnnotationAbandoned = "codepipeline.pipelinejob.dev/abandoned"
	// AbandonedByStop is its value if the execution was stopped and its actions abandoned
	// (event ABANDONED).
	AbandonedByStop = "true"
	// AbandonedByUpdate is its value if a change of the pipeline cancelled the execution
	// (event CANCELED).
	AbandonedByUpdate = "pipeline-updated"

	// LabelEnabled is on namespaces that may use the account of a simple install, with the
	// value "true": the grant of that account selects it.
	LabelEnabled = "codepipeline.pipelinejob.dev/enabled"

	// FinalizerAccount keeps a CodePipelineAccount until nothing uses it.
	FinalizerAccount = "codepipeline.pipelinejob.dev/account"
	// FinalizerCustomAction keeps a CustomAction until its jobs have finished
	// and, with deletionPolicy Delete, its action type is deregistered.
	FinalizerCustomAction = "codepipeline.pipelinejob.dev/custom-action"
	// FinalizerPipelineJob keeps a PipelineJob until the result of its job has been
	// reported to CodePipeline.
	FinalizerPipelineJob = "codepipeline.pipelinejob.dev/pipeline-job"
)

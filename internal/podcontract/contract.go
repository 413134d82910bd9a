// Package podcontract is what the operator and the pod of a job agree on: the paths
// and environment variables that a step sees, the names of the wrapper containers
// and the handover that they read, the result files that steps write, and the
// envelope that carries the result out of the pod.
//
// The runner reads the files and writes the envelope; the operator reads the
// envelope. Both hold results to the rules of PutJobSuccessResult.
//
// It is the one place for these names, so that the side that builds a pod and
// the side that runs in it can't drift apart.
package podcontract

import (
	"path"
	"strings"
)

// Folders in the shared volume, which is mounted at Root in every container
// of the pod that runs a step or is a wrapper container.
const (
	// Root is where the shared volume is mounted.
	Root = "/codepipeline"
	// InputDir holds one folder for each input artifact, by its name.
	InputDir = Root + "/input"
	// OutputDir holds one folder for each output artifact, by its name.
	OutputDir = Root + "/output"
	// ResultDir is where steps write their results (see Result).
	ResultDir = Root + "/result"
	// HelperDir is where steps find the helper. It is a volume of its own, and read-only
	// in steps: a step that could replace the helper would act in later ones, with their
	// secrets. No step can replace the folder either, because the volume is mounted on it
	// in every container that may write to the shared volume.
	HelperDir = Root + "/bin"
	// HelperFile is a program that writes results, for steps that like it
	// better than files (see package helper).
	HelperFile = HelperDir + "/codepipeline"
)

// HelperInstallDir is where the helper's volume is mounted in ContainerFetch, which
// installs the helper.
const HelperInstallDir = "/var/run/codepipeline-helper"

const (
	// HandoverDir is where the job's Secret is mounted, in the wrapper
	// containers alone. It is not below Root: steps never see it.
	HandoverDir = "/var/run/codepipeline"
	// HandoverKey is the key of the handover in the job's Secret.
	HandoverKey = "handover.json"
	// HandoverFile is the path of the handover in the wrapper containers.
	HandoverFile = HandoverDir + "/" + HandoverKey
)

// Names of the wrapper containers in a job's pod.
const (
	// ContainerFetch is the first init container: it prepares the folders and
	// unpacks the input artifacts.
	ContainerFetch = "codepipeline-fetch"
	// ContainerProgress is a sidecar after it, which follows the result files while steps
	// run: for the progress of the work, and for the results from before a step failed.
	ContainerProgress = "codepipeline-progress"
	// ContainerReport is the pod's one regular container: it runs when every
	// step has succeeded, uploads the output artifacts and gives the result.
	ContainerReport = "codepipeline-report"
	// ContainerPrefix starts the name of each of the wrapper containers; a
	// user's container may not begin with it.
	ContainerPrefix = "codepipeline-"
)

// Wrappers are the names of all wrapper containers, in the order in which they start.
var Wrappers = [...]string{ContainerFetch, ContainerProgress, ContainerReport}

// IsWrapper reports whether a container of a job's pod is a wrapper container, by its name.
func IsWrapper(name string) bool { return strings.HasPrefix(name, ContainerPrefix) }

// Names of volumes in a job's pod.
const (
	// SharedVolume is the volume at Root, the workspace.
	SharedVolume = ContainerPrefix + "shared"
	// HelperVolume has the helper, at HelperDir.
	HelperVolume = ContainerPrefix + "helper"
	// NoTokenVolume is empty, and takes the place of the service account's token in the
	// wrapper containers.
	NoTokenVolume = ContainerPrefix + "no-token"
	// CAVolume has the certificates that the wrapper containers trust.
	CAVolume = ContainerPrefix + "ca"
)

// Environment variables of a step.
const (
	EnvJobID               = "CODEPIPELINE_JOB_ID"
	EnvPipelineName        = "CODEPIPELINE_PIPELINE_NAME"
	EnvPipelineExecutionID = "CODEPIPELINE_PIPELINE_EXECUTION_ID"
	EnvStage               = "CODEPIPELINE_STAGE"
	EnvAction              = "CODEPIPELINE_ACTION"
	EnvActionExecutionID   = "CODEPIPELINE_ACTION_EXECUTION_ID"
	EnvRegion              = "CODEPIPELINE_REGION"
	EnvAccountID           = "CODEPIPELINE_ACCOUNT_ID"
	EnvContinuationToken   = "CODEPIPELINE_CONTINUATION_TOKEN"
	EnvResult              = "CODEPIPELINE_RESULT"
	// EnvHelper holds HelperFile: the PATH of a step's image is left alone.
	EnvHelper = "CODEPIPELINE"
)

// EnvConfig is the variable that holds the configuration property key.
func EnvConfig(key string) string { return "CODEPIPELINE_CONFIG_" + envName(key) }

// FileName is the name of the file that the object of an input artifact becomes, if it is
// not unpacked or is no archive: the last element of its key.
func FileName(objectKey string) string { return path.Base(objectKey) }

// InputFile is the path of that file.
func InputFile(name, objectKey string) string {
	return path.Join(InputDir, name, FileName(objectKey))
}

// EnvInput is the variable that holds the folder of the input artifact name, or its file
// (InputFile) if the artifact is not unpacked.
func EnvInput(name string) string { return "CODEPIPELINE_INPUT_" + envName(name) }

// EnvOutput is the variable that holds the folder of the output artifact name.
func EnvOutput(name string) string { return "CODEPIPELINE_OUTPUT_" + envName(name) }

// envName maps a name from CodePipeline onto the characters that every shell
// takes in a variable's name: letters and digits stay, letters become upper
// case, all else becomes an underscore.
func envName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, name)
}

// Handover is what the wrapper containers need to move the artifacts of a
// job. It holds credentials, so it lives in the job's Secret and nowhere else.
type Handover struct {
	// JobID is the CodePipeline job that the credentials belong to.
	JobID string `json:"jobID"`
	// Region is the AWS region of the action, and of its artifact bucket.
	Region string `json:"region"`
	// Credentials are the job's artifactCredentials (GetJobDetails). They live
	// for about 15 minutes: read the file again before each transfer.
	Credentials Credentials `json:"credentials"`
	// InputArtifacts are read, at most 5.
	InputArtifacts []Artifact `json:"inputArtifacts,omitempty"`
	// OutputArtifacts are written, at most 5.
	OutputArtifacts []Artifact `json:"outputArtifacts,omitempty"`
	// EncryptionKeyID is the KMS key (ID, ARN or alias) for uploads; without
	// it uploads ask for aws:kms with the account's default key.
	EncryptionKeyID string `json:"encryptionKeyID,omitempty"`
}

// Credentials are temporary AWS credentials.
type Credentials struct {
	AccessKeyID     string `json:"accessKeyID"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
}

// String keeps credentials out of logs and error texts.
func (Credentials) String() string { return "[redacted]" }

// GoString keeps credentials out of %#v.
func (Credentials) GoString() string { return "[redacted]" }

// Artifact is an artifact's name and its place in S3.
type Artifact struct {
	// Name is 1 to 100 characters of [a-zA-Z0-9_-]: safe as a folder's name.
	Name      string `json:"name"`
	Bucket    string `json:"bucket"`
	ObjectKey string `json:"objectKey"`
}

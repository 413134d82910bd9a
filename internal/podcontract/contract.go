// Package podcontract defines the contract between the operator and the pod of a job: the paths and
// environment variables that steps see, the names of the wrapper containers and the handover that
// they read, the result files that steps write, and the envelope that carries the result out of the
// pod.
//
// The runner reads the files and writes the envelope, and the operator reads the envelope. Both
// check results against the rules of PutJobSuccessResult.
//
// These names are defined only here, so that the side that builds a pod and the side that runs in
// it can't diverge.
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
	// InputDir has a folder for each input artifact, with the artifact's name.
	InputDir = Root + "/input"
	// OutputDir has a folder for each output artifact, with the artifact's name.
	OutputDir = Root + "/output"
	// ResultDir is where steps write their results (see Result).
	ResultDir = Root + "/result"
	// HelperDir is where steps find the helper. It is a separate volume and read-only in steps: a
	// step that could replace the helper could run code in later steps, with their secrets. No step
	// can replace the folder either, because the volume is mounted on it in every container that
	// may write to the shared volume.
	HelperDir = Root + "/bin"
	// HelperFile is a program that writes results, as an alternative to writing files (see package
	// helper).
	HelperFile = HelperDir + "/codepipeline"
)

// HelperInstallDir is where the helper's volume is mounted in ContainerFetch, which
// installs the helper.
const HelperInstallDir = "/var/run/codepipeline-helper"

const (
	// HandoverDir is where the job's Secret is mounted, only in the wrapper containers. It is not
	// below Root, so steps never see it.
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
	// ContainerProgress is a sidecar that watches the result files while steps run. It reports
	// progress and, if a step fails, the results so far.
	ContainerProgress = "codepipeline-progress"
	// ContainerReport is the only regular container of the pod. It runs after every step has
	// succeeded, uploads the output artifacts and reports the result.
	ContainerReport = "codepipeline-report"
	// ContainerPrefix is the prefix of the wrapper containers' names. Names of other containers
	// must not begin with it.
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
	// NoTokenVolume is empty. It replaces the service account's token in the wrapper containers.
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
	// EnvHelper has the path HelperFile. The PATH of a step's image is not changed.
	EnvHelper = "CODEPIPELINE"
)

// EnvConfig returns the variable with the value of the configuration property key.
func EnvConfig(key string) string { return "CODEPIPELINE_CONFIG_" + envName(key) }

// FileName returns the file name of an input artifact that is not unpacked or not an archive: the
// last element of the object's key.
func FileName(objectKey string) string { return path.Base(objectKey) }

// InputFile returns the path of that file.
func InputFile(name, objectKey string) string {
	return path.Join(InputDir, name, FileName(objectKey))
}

// EnvInput returns the variable with the folder of the input artifact name, or with its file
// (InputFile) if the artifact is not unpacked.
func EnvInput(name string) string { return "CODEPIPELINE_INPUT_" + envName(name) }

// EnvOutput returns the variable with the folder of the output artifact name.
func EnvOutput(name string) string { return "CODEPIPELINE_OUTPUT_" + envName(name) }

// envName maps a name from CodePipeline to characters that every shell accepts in the name of a
// variable: it converts letters to upper case, keeps digits, and replaces anything else with an
// underscore.
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

// Handover is what the wrapper containers need to transfer a job's artifacts. It has credentials,
// so it is stored only in the job's Secret.
type Handover struct {
	// JobID is the CodePipeline job that the credentials belong to.
	JobID string `json:"jobID"`
	// Region is the AWS region of the action, and of its artifact bucket.
	Region string `json:"region"`
	// Credentials are the job's artifactCredentials (GetJobDetails). They expire after about 15
	// minutes, so read the file again before each transfer.
	Credentials Credentials `json:"credentials"`
	// InputArtifacts are at most 5 artifacts to download.
	InputArtifacts []Artifact `json:"inputArtifacts,omitempty"`
	// OutputArtifacts are at most 5 artifacts to upload.
	OutputArtifacts []Artifact `json:"outputArtifacts,omitempty"`
	// EncryptionKeyID is the ID, ARN or alias of the KMS key for uploads. If it is empty, uploads
	// use aws:kms with the account's default key.
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

// Artifact has an artifact's name and its location in S3.
type Artifact struct {
	// Name has 1 to 100 characters of [a-zA-Z0-9_-], so it is safe as a folder name.
	Name      string `json:"name"`
	Bucket    string `json:"bucket"`
	ObjectKey string `json:"objectKey"`
}

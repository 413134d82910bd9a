package v1alpha1

// Artifacts says how input artifacts are unpacked, and output artifacts packed.
type Artifacts struct {
	// links says what happens to symbolic links in artifacts, input and output, that lead
	// out of the artifact's folder, or over more than eight links, themselves included.
	//
	// Refuse, the default: the action fails with a message that names the link. An output
	// artifact fails the action that makes it, not the next one, which would refuse it.
	// Skip: the link is left out, and a line in the log of the container
	// codepipeline-fetch or codepipeline-report names it. Keep: the link stays as it is,
	// for artifacts such as Python's virtual environments. The wrapper containers follow
	// none of these links, but steps do. An archive with an entry below a link is always
	// refused.
	//
	// The rule applies to this CustomAction alone: one whose actions read its artifacts
	// needs Skip or Keep too.
	// +optional
	// +kubebuilder:default=Refuse
	Links LinkPolicy `json:"links,omitempty"`

	// unpack decides whether input artifacts are unpacked, unless inputs says otherwise.
	//
	// Auto, the default: a zip or tar archive, also one that is compressed by gzip, bzip2,
	// xz or zstd, is unpacked into the artifact's folder; any other object becomes a
	// single file there. Never: every object stays a single file, such as a jar or the
	// archive of an image. The variable CODEPIPELINE_INPUT_<NAME> and $(input.NAME) then
	// hold the path of the file, whose name is the last element of the object's key.
	// +optional
	// +kubebuilder:default=Auto
	Unpack UnpackPolicy `json:"unpack,omitempty"`

	// inputs are exceptions from unpack, by the names of input artifacts: 100 at most. A
	// name that an action does not have changes nothing.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=100
	Inputs []InputArtifact `json:"inputs,omitempty"`
}

// InputArtifact says how one input artifact is unpacked.
type InputArtifact struct {
	// name of the artifact, as the pipelines call it: 1 to 100 letters, digits,
	// underscores and hyphens.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9_-]+$`
	Name string `json:"name,omitempty"`

	// unpack is Auto or Never, as in spec.artifacts.unpack.
	// +required
	Unpack UnpackPolicy `json:"unpack,omitempty"`
}

// LinkPolicy says what happens to symbolic links that lead out of an artifact.
//
// +kubebuilder:validation:Enum=Refuse;Skip;Keep
type LinkPolicy string

const (
	// LinksRefuse fails the action.
	LinksRefuse LinkPolicy = "Refuse"
	// LinksSkip leaves the links out.
	LinksSkip LinkPolicy = "Skip"
	// LinksKeep keeps the links as they are.
	LinksKeep LinkPolicy = "Keep"
)

// UnpackPolicy decides whether an input artifact is unpacked.
//
// +kubebuilder:validation:Enum=Auto;Never
type UnpackPolicy string

const (
	// UnpackAuto unpacks archives, which are recognized by their content.
	UnpackAuto UnpackPolicy = "Auto"
	// UnpackNever keeps an object as one file.
	UnpackNever UnpackPolicy = "Never"
)

package v1alpha1

// Artifacts sets how input artifacts are unpacked, and output artifacts packed.
type Artifacts struct {
	// links sets how to handle symbolic links in input and output artifacts that lead out
	// of the artifact's folder, or over more than eight links, themselves included.
	//
	// Refuse, the default: the action fails with a message that names the link. An output
	// artifact fails the action that creates it, not the next one, which would refuse it.
	// Skip: the link is left out, and a line in the log of the container
	// codepipeline-fetch or codepipeline-report names it. Keep: the link stays unchanged,
	// for artifacts such as Python's virtual environments. The wrapper containers never
	// follow these links, but steps do. An archive with an entry below a link is always
	// refused.
	//
	// The rule applies only to this CustomAction: CustomActions that read its artifacts
	// need Skip or Keep too.
	// +optional
	// +kubebuilder:default=Refuse
	Links LinkPolicy `json:"links,omitempty"`

	// unpack sets whether input artifacts are unpacked. inputs has exceptions.
	//
	// Auto, the default: a zip or tar archive, including tar archives compressed with gzip,
	// bzip2, xz or zstd, is unpacked into the artifact's folder; any other object becomes a
	// single file there. Never: every object stays a single file, such as a jar or the
	// archive of an image. The variable CODEPIPELINE_INPUT_<NAME> and $(input.NAME) are
	// then the path of the file, whose name is the last element of the object's key.
	// +optional
	// +kubebuilder:default=Auto
	Unpack UnpackPolicy `json:"unpack,omitempty"`

	// inputs are exceptions from unpack, by the names of input artifacts: 100 at most.
	// Names that an action does not have are ignored.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=100
	Inputs []InputArtifact `json:"inputs,omitempty"`
}

// InputArtifact sets how one input artifact is unpacked.
type InputArtifact struct {
	// name of the artifact in the pipelines: 1 to 100 letters, digits,
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

// LinkPolicy sets how to handle symbolic links that lead out of an artifact.
//
// +kubebuilder:validation:Enum=Refuse;Skip;Keep
type LinkPolicy string

const (
	// LinksRefuse fails the action.
	LinksRefuse LinkPolicy = "Refuse"
	// LinksSkip leaves the links out.
	LinksSkip LinkPolicy = "Skip"
	// LinksKeep keeps the links unchanged.
	LinksKeep LinkPolicy = "Keep"
)

// UnpackPolicy sets whether an input artifact is unpacked.
//
// +kubebuilder:validation:Enum=Auto;Never
type UnpackPolicy string

const (
	// UnpackAuto unpacks archives, which are recognized by their content.
	UnpackAuto UnpackPolicy = "Auto"
	// UnpackNever keeps an object as one file.
	UnpackNever UnpackPolicy = "Never"
)

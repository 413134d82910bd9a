package v1alpha1

import "k8s.io/apimachinery/pkg/util/intstr"

// ForeignKeys are keys of two other forms in which definitions of action types are
// published: the template of CloudFormation (AWS::CodePipeline::CustomActionType), and what
// list-action-types prints. An object with one of them is refused by a rule, whose message
// has the right form.
//
// They must be fields for that: the API server refuses an unknown field, or drops it,
// before any rule is evaluated, and only says that it is unknown. For the same reason,
// rules and not the schema require the fields of ActionType: if one that the schema
// requires is missing, no rule is evaluated.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.Category) || has(self.Provider) || has(self.Version) || has(self.Settings) || has(self.ConfigurationProperties) || has(self.InputArtifactDetails) || has(self.OutputArtifactDetails) || has(self.Tags))",message="keys that begin with a capital letter are CloudFormation's: write them as CodePipeline's API does, also those within them, such as category, configurationProperties with name, required, key and secret, and inputArtifactDetails with minimumCount and maximumCount"
// +kubebuilder:validation:XValidation:rule="!(has(self.id) || has(self.actionConfigurationProperties))",message="id and actionConfigurationProperties are what list-action-types prints: write what create-custom-action-type takes, which is category, provider and version in place of id (without owner), and configurationProperties in place of actionConfigurationProperties"
type ForeignKeys struct {
	// Category is refused: it is CloudFormation's name of category.
	// +optional
	Category *intstr.IntOrString `json:"Category,omitempty"`

	// Provider is refused: it is CloudFormation's name of provider.
	// +optional
	Provider *intstr.IntOrString `json:"Provider,omitempty"`

	// Version is refused: it is CloudFormation's name of version.
	// +optional
	Version *intstr.IntOrString `json:"Version,omitempty"`

	// Settings is refused: it is CloudFormation's name of settings.
	// +optional
	Settings *AnyObject `json:"Settings,omitempty"`

	// ConfigurationProperties is refused: it is CloudFormation's name of
	// configurationProperties.
	// +optional
	// +listType=atomic
	ConfigurationProperties []AnyObject `json:"ConfigurationProperties,omitempty"`

	// InputArtifactDetails is refused: it is CloudFormation's name of
	// inputArtifactDetails.
	// +optional
	InputArtifactDetails *AnyObject `json:"InputArtifactDetails,omitempty"`

	// OutputArtifactDetails is refused: it is CloudFormation's name of
	// outputArtifactDetails.
	// +optional
	OutputArtifactDetails *AnyObject `json:"OutputArtifactDetails,omitempty"`

	// Tags is refused: it is CloudFormation's name of tags.
	// +optional
	// +listType=atomic
	Tags []AnyObject `json:"Tags,omitempty"`

	// id is refused: list-action-types prints it, with category, provider and version.
	// +optional
	ID *AnyObject `json:"id,omitempty"`

	// actionConfigurationProperties is refused: list-action-types prints
	// configurationProperties under this name.
	// +optional
	// +listType=atomic
	ActionConfigurationProperties []AnyObject `json:"actionConfigurationProperties,omitempty"`
}

// AnyObject is an object with any fields.
//
// +kubebuilder:pruning:PreserveUnknownFields
type AnyObject struct{}

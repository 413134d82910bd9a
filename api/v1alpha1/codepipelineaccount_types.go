package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CodePipelineAccount grants namespaces access to an AWS account. It sets the identity with
// which the operator calls CodePipeline, the regions, and the action types. It belongs to
// the platform team. Without a grant, a namespace has no access.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cpaccount,categories=codepipeline
// +kubebuilder:printcolumn:name="Account",type=string,JSONPath=`.status.accountID`
// +kubebuilder:printcolumn:name="Regions",type=string,JSONPath=`.spec.regions`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Throttled",type=string,JSONPath=`.status.conditions[?(@.type=="Throttled")].status`
// +kubebuilder:printcolumn:name="Actions",type=integer,JSONPath=`.status.actions`
// +kubebuilder:printcolumn:name="Role",type=string,priority=1,JSONPath=`.spec.roleARN`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type CodePipelineAccount struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard metadata of an object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec sets the identity with which the operator calls AWS, and the namespaces with access.
	// +required
	Spec CodePipelineAccountSpec `json:"spec,omitzero"`
	// status is what the operator observed.
	// +optional
	Status CodePipelineAccountStatus `json:"status,omitempty,omitzero"`
}

// CodePipelineAccountList is a list of CodePipelineAccounts.
//
// +kubebuilder:object:root=true
type CodePipelineAccountList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CodePipelineAccount `json:"items"`
}

// CodePipelineAccountSpec sets the identity with which the operator calls AWS, and the
// namespaces with access.
type CodePipelineAccountSpec struct {
	// roleARN is the role that the operator assumes, such as
	// arn:aws:iam::111122223333:role/pipelines: 1024 characters at most. The external ID is
	// CLUSTER-ID/NAMESPACE, with the namespace of the CustomAction, or with the operator's
	// own namespace for calls about the account itself. The session name contains the
	// namespace and the CustomAction, and the session policy allows only the operator's
	// calls. Without roleARN, the operator calls with its own identity, and AWS can't
	// distinguish namespaces.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^arn:aws(-[A-Za-z0-9_]+)*:iam::[0-9]{12}:role/([!-~]+/)?[A-Za-z0-9_+=,.@-]+$')",message="must be the ARN of an IAM role, such as arn:aws:iam::111122223333:role/pipelines: copy it from the role in IAM, or leave roleARN out for the operator to call as itself"
	RoleARN string `json:"roleARN,omitempty"`

	// regions are the regions in which the account may be used, such as eu-central-1: 1 to
	// 50, each with 4 to 30 lower-case letters, digits and hyphens.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	Regions []Region `json:"regions,omitempty"`

	// grants set which namespaces may use the account: 100 at most. A namespace has the
	// access of all its grants together. Without a grant, no namespace has access.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Grants []Grant `json:"grants,omitempty"`

	// failureLog sets whether the last log lines of a failed step are copied to
	// CodePipeline, events and the status: Always (the default), NoSecrets or Never. The
	// stricter of this and a CustomAction's spec.failureLog counts.
	// +optional
	FailureLog FailureLog `json:"failureLog,omitempty"`
}

// Region is an AWS region, such as eu-central-1.
//
// +kubebuilder:validation:MinLength=4
// +kubebuilder:validation:MaxLength=30
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9-]+$')",message="must be the code of an AWS region, such as eu-central-1: lower-case letters, digits and hyphens only"
type Region string

// Grant gives namespaces access to an account.
type Grant struct {
	// namespaces that get access.
	// +required
	Namespaces GrantedNamespaces `json:"namespaces"`

	// actionTypes are the action types for which CustomActions of these namespaces may take
	// jobs: 50 at most. By default, all.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	ActionTypes []ActionTypePattern `json:"actionTypes,omitempty"`

	// mayRegister allows these namespaces to create action types in the account, and to
	// delete and tag those that they have created. By default, they may only take jobs of
	// existing action types.
	// +optional
	MayRegister bool `json:"mayRegister,omitempty"`

	// allowReferencesIn are additional places of job templates that may refer to values
	// that a pipeline controls, such as $(config.Tag) in an image. Each gives control to
	// everyone who can change a pipeline of the account. By default, there are none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=10
	AllowReferencesIn []ReferencePlace `json:"allowReferencesIn,omitempty"`
}

// GrantedNamespaces selects namespaces by name or by label.
//
// +kubebuilder:validation:XValidation:rule="has(self.names) != has(self.selector)",message="set either names or selector: use two grants for both"
type GrantedNamespaces struct {
	// names are the namespaces: 1 to 500.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('[^a-z0-9-]|^-|-$|^$')",message="must be the name of one namespace, such as team-web: lower-case letters, digits and, not at its ends, hyphens. There are no patterns: to grant many, use selector"
	Names []string `json:"names,omitempty"`

	// selector selects namespaces by their labels. An empty one, {}, selects all. Users who
	// may label a namespace can give it the grant.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// ActionTypePattern matches action types.
type ActionTypePattern struct {
	// category of the action types. By default, any.
	// +optional
	Category Category `json:"category,omitempty"`

	// provider of the action types, in which * stands for any characters, such as team-a-*:
	// 35 characters at most. By default, any.
	// +optional
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Za-z_*-]+$')",message="provider may have letters, digits, underscores, hyphens and * only, such as team-a-*: leave it out for any provider"
	Provider string `json:"provider,omitempty"`

	// queryValues are the values of spec.polling.queryParam with which these namespaces may
	// take jobs, in which * stands for any characters, such as web-*: 20 at most. By default,
	// any, except for action types whose tags name a CustomAction of another namespace or
	// cluster: for these, only the values that are listed here are allowed.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=20
	QueryValues []QueryValuePattern `json:"queryValues,omitempty"`
}

// QueryValuePattern matches values of a queryable property.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=50
// +kubebuilder:validation:XValidation:rule="!self.matches('[^\\\\w*-]')",message="queryValues may have letters, digits, underscores, hyphens and * only, such as web-*"
type QueryValuePattern string

// AccountReference names a CodePipelineAccount.
type AccountReference struct {
	// name of the CodePipelineAccount.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// CodePipelineAccountStatus is what the operator observed.
type CodePipelineAccountStatus struct {
	// conditions are Ready and Throttled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation that the status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// accountID is the ID of the AWS account, as GetCallerIdentity of STS returned it. It is
	// kept while AWS does not respond, and absent before the first response.
	// +optional
	AccountID string `json:"accountID,omitempty"`

	// provenRoleARN is the spec.roleARN for which AWS returned accountID. CustomActions wait
	// while it differs from spec.roleARN.
	// +optional
	ProvenRoleARN string `json:"provenRoleARN,omitempty"`

	// actions is the number of CustomActions that use the account. It is updated at most
	// once a minute.
	// +optional
	Actions int32 `json:"actions"`

	// namespaces for which the operator makes calls. Each had a grant when it was added,
	// and stays until its grant is withdrawn and its last job is reported.
	// +optional
	// +listType=set
	Namespaces []string `json:"namespaces,omitempty"`

	// regions in which the operator makes calls: those of the spec, and those of jobs that
	// are not reported yet. 1000 at most.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	Regions []Region `json:"regions,omitempty"`
}

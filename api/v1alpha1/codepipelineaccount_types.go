package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CodePipelineAccount grants namespaces the use of an AWS account: as whom the operator
// calls CodePipeline, in which regions, and for which action types. It belongs to the
// platform team. Without a grant a namespace has no access.
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
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says as whom the operator calls AWS, and for whom.
	// +required
	Spec CodePipelineAccountSpec `json:"spec"`
	// status is what the operator found out.
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

// CodePipelineAccountSpec says as whom the operator calls AWS, and for whom.
type CodePipelineAccountSpec struct {
	// roleARN is the role that the operator assumes, such as
	// arn:aws:iam::111122223333:role/pipelines: 1024 characters at most. It is assumed
	// with the external ID CLUSTER-ID/NAMESPACE, of the namespace that is worked for, or of
	// the operator's own to look at the account itself; with a session name that has the
	// namespace and the CustomAction; and with a session policy of the calls that the
	// operator makes. Without roleARN the operator calls as itself, and AWS does not tell
	// namespaces apart.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^arn:aws(-[A-Za-z0-9_]+)*:iam::[0-9]{12}:role/([!-~]+/)?[A-Za-z0-9_+=,.@-]+$')",message="must be the ARN of an IAM role, such as arn:aws:iam::111122223333:role/pipelines: copy it from the role in IAM, or leave roleARN out for the operator to call as itself"
	RoleARN string `json:"roleARN,omitempty"`

	// regions are those in which the account may be used, such as eu-central-1: 1 to 50, each
	// of 4 to 30 lower-case letters, digits and hyphens.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	Regions []Region `json:"regions"`

	// grants say who may use the account: 100 at most. What several grants give a
	// namespace adds up. Without any, nobody may use it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Grants []Grant `json:"grants,omitempty"`

	// failureLog decides whether the last log lines of a step that failed are told to
	// CodePipeline, in events and in the status: Always (the default), NoSecrets or Never. The
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

// Grant lets namespaces use an account.
type Grant struct {
	// namespaces are those that the grant is for.
	// +required
	Namespaces GrantedNamespaces `json:"namespaces"`

	// actionTypes are the action types for which CustomActions of these namespaces may take
	// jobs: 50 at most. Without any: all.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	ActionTypes []ActionTypePattern `json:"actionTypes,omitempty"`

	// mayRegister lets these namespaces create action types in the account, and delete and
	// tag those that they have created. By default they only take the jobs of action types
	// that exist.
	// +optional
	MayRegister bool `json:"mayRegister,omitempty"`

	// allowReferencesIn are the places of job templates, beside those that always do, that
	// may refer to what a pipeline controls, such as $(pipeline.execution) in an image:
	// each hands a decision over to all who can change a pipeline of the account.
	// By default there are none.
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

	// selector selects namespaces by their labels. An empty one, {}, selects all. Who
	// may label a namespace can give it the grant.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// ActionTypePattern matches action types.
type ActionTypePattern struct {
	// category is that of the action types; absent: any.
	// +optional
	Category Category `json:"category,omitempty"`

	// provider is that of the action types, in which * stands for any characters, such as
	// team-a-*: 35 characters at most. Absent: any.
	// +optional
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Za-z_*-]+$')",message="provider may have letters, digits, underscores, hyphens and * only, such as team-a-*: leave it out for any provider"
	Provider string `json:"provider,omitempty"`

	// queryValues are the values of spec.polling.queryParam with which jobs may be taken, in
	// which * stands for any characters, such as web-*: 20 at most. Absent: any, but none of an
	// action type whose tags name a CustomAction of another namespace or cluster. Jobs of such a
	// one may be taken with the values that are listed here, and with no other.
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
	Name string `json:"name"`
}

// CodePipelineAccountStatus is what the operator found out.
type CodePipelineAccountStatus struct {
	// observedGeneration is the generation that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready and Throttled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// accountID is the ID of the AWS account, as GetCallerIdentity of STS told it. It is
	// kept while AWS does not answer, and absent before its first answer.
	// +optional
	AccountID string `json:"accountID,omitempty"`

	// provenRoleARN is the spec.roleARN with which accountID was found out. CustomActions
	// wait while it is another.
	// +optional
	ProvenRoleARN string `json:"provenRoleARN,omitempty"`

	// actions is how many CustomActions use the account. It is brought up to date at most
	// once a minute.
	// +optional
	Actions int32 `json:"actions"`

	// namespaces are those for which the operator makes calls: they were granted when
	// they were added, and each stays until its grant is withdrawn and its last job
	// is reported.
	// +optional
	// +listType=set
	Namespaces []string `json:"namespaces,omitempty"`

	// regions are those in which the operator makes calls: those of the spec, and those
	// of jobs that are not reported yet: 1000 at most.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	Regions []Region `json:"regions,omitempty"`
}

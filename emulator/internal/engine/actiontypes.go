package engine

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
)

// actionTypesPage is the page size of ListActionTypes. It is small, so that clients that read only
// one page fail.
const actionTypesPage = 25

// The built-in action types that the engine runs.
var (
	s3SourceType = &ActionType{
		ID:         TypeID{"Source", "AWS", "S3", "1"},
		Properties: []Property{{Name: "S3Bucket", Required: true, Key: true}, {Name: "S3ObjectKey", Required: true, Key: true}, {Name: "PollForSourceChanges"}, {Name: "AllowOverrideForS3ObjectKey"}},
		Outputs:    ArtifactDetails{1, 1},
	}
	approvalType = &ActionType{
		ID:         TypeID{"Approval", "AWS", "Manual", "1"},
		Properties: []Property{{Name: "NotificationArn"}, {Name: "ExternalEntityLink"}, {Name: "CustomData"}},
	}
	builtIn = []*ActionType{s3SourceType, approvalType}
)

// CreateActionTypeRequest is that of CreateCustomActionType.
type CreateActionTypeRequest struct {
	Category   string          `json:"category"`
	Provider   string          `json:"provider"`
	Version    string          `json:"version"`
	Settings   *Settings       `json:"settings"`
	Properties []Property      `json:"configurationProperties"`
	Inputs     ArtifactDetails `json:"inputArtifactDetails"`
	Outputs    ArtifactDetails `json:"outputArtifactDetails"`
	Tags       []Tag           `json:"tags"`
}

// CreateActionTypeResponse is that of CreateCustomActionType.
type CreateActionTypeResponse struct {
	ActionType *ActionType `json:"actionType"`
	Tags       []Tag       `json:"tags,omitempty"`
}

// CreateActionType creates a custom action type, or restores a deleted one with the identical
// definition.
func (e *Engine) CreateActionType(r CreateActionTypeRequest) (*CreateActionTypeResponse, error) {
	defer e.enter()()
	made := &ActionType{
		ID:         TypeID{r.Category, "Custom", r.Provider, r.Version},
		Settings:   r.Settings,
		Properties: r.Properties,
		Inputs:     r.Inputs,
		Outputs:    r.Outputs,
	}
	if len(made.Properties) == 0 {
		made.Properties = nil // an empty list means the same as no list
	}
	if made.Settings != nil && *made.Settings == (Settings{}) {
		made.Settings = nil
	}
	if err := made.check(); err != nil {
		return nil, err
	}
	tags, err := tagged(nil, r.Tags)
	if err != nil {
		return nil, err
	}
	if known, ok := e.actionTypes[made.ID]; ok {
		if !known.deleted {
			return nil, fail("ValidationException", "%s already exists", made.ID.described())
		}
		if !made.same(known) {
			return nil, fail("ValidationException", "%s was deleted: its version can't be used again with another definition", made.ID.described())
		}
	}
	if e.countActionTypes() >= e.options.MaxActionTypes {
		return nil, fail("LimitExceededException", "The account has reached its limit of %d custom action types", e.options.MaxActionTypes)
	}
	made.tags = tags
	e.actionTypes[made.ID] = made
	return &CreateActionTypeResponse{ActionType: e.shownType(made), Tags: listed(tags)}, nil
}

// shownType returns an action type as the service returns it: its settings are always an object,
// and its properties have no type unless the options require it.
func (e *Engine) shownType(t *ActionType) *ActionType {
	shown := *t
	if shown.Settings == nil {
		shown.Settings = &Settings{}
	}
	if e.options.ReturnPropertyTypes {
		return &shown
	}
	shown.Properties = slices.Clone(t.Properties)
	for i := range shown.Properties {
		shown.Properties[i].Type = ""
	}
	return &shown
}

// same reports whether two types have the identical definition.
func (t *ActionType) same(other *ActionType) bool {
	return reflect.DeepEqual(t.Settings, other.Settings) && slices.Equal(t.Properties, other.Properties) &&
		t.Inputs == other.Inputs && t.Outputs == other.Outputs
}

// countActionTypes counts the action types that are not deleted.
func (e *Engine) countActionTypes() int {
	count := 0
	for _, t := range e.actionTypes {
		if !t.deleted {
			count++
		}
	}
	return count
}

func (t *ActionType) check() error {
	queryable, names := 0, map[string]bool{}
	for _, p := range t.Properties {
		if names[p.Name] {
			return fail("ValidationException", "Two configuration properties have the name %s", p.Name)
		}
		names[p.Name] = true
		if !p.Queryable {
			continue
		}
		queryable++
		if !p.Required || p.Secret {
			return fail("ValidationException", "The queryable property %s must be required and must not be secret", p.Name)
		}
	}
	if queryable > 1 {
		return fail("ValidationException", "An action type may have one queryable property only")
	}
	for _, bounds := range []ArtifactDetails{t.Inputs, t.Outputs} {
		if bounds.MinimumCount > bounds.MaximumCount {
			return fail("ValidationException", "minimumCount must not be over maximumCount")
		}
	}
	return nil
}

func (t *ActionType) queryable() string {
	for _, p := range t.Properties {
		if p.Queryable {
			return p.Name
		}
	}
	return ""
}

// DeleteActionTypeRequest is that of DeleteCustomActionType.
type DeleteActionTypeRequest struct {
	Category string `json:"category"`
	Provider string `json:"provider"`
	Version  string `json:"version"`
}

// DeleteActionType marks a custom action type as deleted. It is not an error if the type does not
// exist: the model has no error for it.
func (e *Engine) DeleteActionType(r DeleteActionTypeRequest) (*struct{}, error) {
	defer e.enter()()
	if known, ok := e.actionTypes[TypeID{r.Category, "Custom", r.Provider, r.Version}]; ok {
		known.deleted = true
	}
	return nil, nil
}

// ListActionTypesRequest is that of ListActionTypes.
type ListActionTypesRequest struct {
	Owner     string `json:"actionOwnerFilter"`
	Region    string `json:"regionFilter"`
	NextToken string `json:"nextToken"`
}

// ListActionTypesResponse is that of ListActionTypes.
type ListActionTypesResponse struct {
	ActionTypes []*ActionType `json:"actionTypes"`
	NextToken   string        `json:"nextToken,omitempty"`
}

// ListActionTypes lists the custom action types and the built-in ones that the
// engine runs.
func (e *Engine) ListActionTypes(r ListActionTypesRequest) (*ListActionTypesResponse, error) {
	defer e.enter()()
	found := []*ActionType{}
	for _, t := range append(slices.Collect(maps.Values(e.actionTypes)), builtIn...) {
		if !t.deleted && cmp.Or(r.Owner, t.ID.Owner) == t.ID.Owner && cmp.Or(r.Region, e.options.Region) == e.options.Region {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b *ActionType) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	found, next, err := paged(page{NextToken: r.NextToken}, found, actionTypesPage)
	if err != nil {
		return nil, err
	}
	shown := []*ActionType{}
	for _, t := range found {
		shown = append(shown, e.shownType(t))
	}
	return &ListActionTypesResponse{shown, next}, nil
}

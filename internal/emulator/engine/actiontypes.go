package engine

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
)

// maxActionTypes is CodePipeline's quota of custom action types in a region.
const maxActionTypes = 50

// CreateActionTypeRequest is that of CreateCustomActionType.
type CreateActionTypeRequest struct {
	Category   string          `json:"category"`
	Provider   string          `json:"provider"`
	Version    string          `json:"version"`
	Settings   *settings       `json:"settings"`
	Properties []property      `json:"configurationProperties"`
	Inputs     artifactDetails `json:"inputArtifactDetails"`
	Outputs    artifactDetails `json:"outputArtifactDetails"`
	Tags       []tag           `json:"tags"`
}

// CreateActionTypeResponse is that of CreateCustomActionType.
type CreateActionTypeResponse struct {
	ActionType *actionType `json:"actionType"`
	Tags       []tag       `json:"tags,omitempty"`
}

// CreateActionType makes a custom action type, or restores a deleted one of
// the identical definition.
func (e *Engine) CreateActionType(r CreateActionTypeRequest) (*CreateActionTypeResponse, error) {
	defer e.enter()()
	made := &actionType{
		ID:         typeID{r.Category, "Custom", r.Provider, r.Version},
		Settings:   r.Settings,
		Properties: r.Properties,
		Inputs:     r.Inputs,
		Outputs:    r.Outputs,
	}
	if err := made.check(); err != nil {
		return nil, err
	}
	if known, ok := e.actionTypes[made.ID]; ok {
		if !known.deleted {
			return nil, fail("ValidationException", "Action type with the same ID already exists: %s", made.ID)
		}
		made.deleted = true
		if !reflect.DeepEqual(made, known) {
			return nil, fail("ValidationException", "Action type %s was deleted; its version can't be used again with another definition", made.ID)
		}
		made.deleted = false
	} else if len(e.actionTypes) >= maxActionTypes {
		return nil, fail("LimitExceededException", "The account has reached its limit of %d custom action types", maxActionTypes)
	}
	e.actionTypes[made.ID] = made
	return &CreateActionTypeResponse{ActionType: made, Tags: r.Tags}, nil
}

func (t *actionType) check() error {
	queryable := 0
	for _, p := range t.Properties {
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
	for _, bounds := range []artifactDetails{t.Inputs, t.Outputs} {
		if bounds.MinimumCount > bounds.MaximumCount {
			return fail("ValidationException", "minimumCount must not be over maximumCount")
		}
	}
	return nil
}

func (t *actionType) queryable() string {
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

// DeleteActionType marks a custom action type as deleted. One that is not
// there is no error: the model has none for it.
func (e *Engine) DeleteActionType(r DeleteActionTypeRequest) (*struct{}, error) {
	defer e.enter()()
	if known, ok := e.actionTypes[typeID{r.Category, "Custom", r.Provider, r.Version}]; ok {
		known.deleted = true
	}
	return nil, nil
}

// ListActionTypesRequest is that of ListActionTypes.
type ListActionTypesRequest struct {
	Owner string `json:"actionOwnerFilter"`
}

// ListActionTypesResponse is that of ListActionTypes.
type ListActionTypesResponse struct {
	ActionTypes []*actionType `json:"actionTypes"`
}

// ListActionTypes lists the custom action types and the built-in ones that the
// engine runs.
func (e *Engine) ListActionTypes(r ListActionTypesRequest) (*ListActionTypesResponse, error) {
	defer e.enter()()
	found := []*actionType{}
	for _, t := range maps.All(e.actionTypes) {
		if !t.deleted && (r.Owner == "" || r.Owner == t.ID.Owner) {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b *actionType) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return &ListActionTypesResponse{ActionTypes: found}, nil
}

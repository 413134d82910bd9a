package codepipeline

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
)

// FindActionType returns a custom action type, or nil if there is none.
func (c *Client) FindActionType(ctx context.Context, id ActionTypeID) (*ListedActionType, error) {
	pages := listedPages{sdk.NewListActionTypesPaginator(c.api, &sdk.ListActionTypesInput{ActionOwnerFilter: types.ActionOwnerCustom})}
	var wanted *ListedActionType
	err := eachPage(ctx, c, "ListActionTypes", "list custom action types", pages, func(page []ListedActionType) bool {
		if at := slices.IndexFunc(page, func(found ListedActionType) bool { return found.ID == id }); at >= 0 {
			wanted = &page[at]
		}
		return wanted != nil
	})
	return wanted, err
}

// CreateActionType registers a custom action type. A deleted version can be
// registered again only with the identical definition, which restores it.
func (c *Client) CreateActionType(ctx context.Context, actionType ActionType, tags map[string]string) error {
	_, err := call(ctx, c, "CreateCustomActionType", fmt.Sprintf("create custom action type %s", actionType.ID), func() (*sdk.CreateCustomActionTypeOutput, error) {
		return c.api.CreateCustomActionType(ctx, createInput(actionType, tags))
	})
	return err
}

// DeleteActionType marks a custom action type as deleted. It is not an error if the type does not
// exist (DeleteCustomActionType has no error for it).
func (c *Client) DeleteActionType(ctx context.Context, id ActionTypeID) error {
	_, err := call(ctx, c, "DeleteCustomActionType", fmt.Sprintf("delete custom action type %s", id), func() (*sdk.DeleteCustomActionTypeOutput, error) {
		return c.api.DeleteCustomActionType(ctx, &sdk.DeleteCustomActionTypeInput{
			Category: types.ActionCategory(id.Category),
			Provider: &id.Provider,
			Version:  &id.Version,
		})
	})
	return err
}

func createInput(actionType ActionType, tags map[string]string) *sdk.CreateCustomActionTypeInput {
	input := &sdk.CreateCustomActionTypeInput{
		Category:              types.ActionCategory(actionType.ID.Category),
		Provider:              &actionType.ID.Provider,
		Version:               &actionType.ID.Version,
		InputArtifactDetails:  artifactDetails(actionType.Inputs),
		OutputArtifactDetails: artifactDetails(actionType.Outputs),
	}
	if actionType.Settings != (Settings{}) {
		input.Settings = &types.ActionTypeSettings{
			ThirdPartyConfigurationUrl: optional(actionType.Settings.ThirdPartyConfigurationURL),
			EntityUrlTemplate:          optional(actionType.Settings.EntityURLTemplate),
			ExecutionUrlTemplate:       optional(actionType.Settings.ExecutionURLTemplate),
			RevisionUrlTemplate:        optional(actionType.Settings.RevisionURLTemplate),
		}
	}
	for _, property := range actionType.Properties {
		input.ConfigurationProperties = append(input.ConfigurationProperties, types.ActionConfigurationProperty{
			Name:        aws.String(property.Name),
			Required:    property.Required,
			Key:         property.Key,
			Secret:      property.Secret,
			Queryable:   property.Queryable,
			Description: optional(property.Description),
			Type:        types.ActionConfigurationPropertyType(property.Type),
		})
	}
	input.Tags = tagList(tags)
	return input
}

func artifactDetails(bounds ArtifactBounds) *types.ArtifactDetails {
	return &types.ArtifactDetails{MinimumCount: bounds.Minimum, MaximumCount: bounds.Maximum}
}

package codepipeline

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
)

// TagChanges are the tags to set and to remove.
type TagChanges struct {
	Set    map[string]string
	Remove []string
}

// None reports whether there is nothing to change.
func (c TagChanges) None() bool { return len(c.Set) == 0 && len(c.Remove) == 0 }

// ChangeTags returns the changes that turn the found tags into the wanted ones. Unwanted tags are
// removed only if they are in ours, because others belong to someone else.
func ChangeTags(wanted, found map[string]string, ours []string) TagChanges {
	changes := TagChanges{Set: map[string]string{}}
	for key, value := range wanted {
		if have, ok := found[key]; !ok || have != value {
			changes.Set[key] = value
		}
	}
	for _, key := range ours {
		_, want := wanted[key]
		if _, have := found[key]; have && !want {
			changes.Remove = append(changes.Remove, key)
		}
	}
	slices.Sort(changes.Remove)
	return changes
}

// Tags lists the tags of a resource.
func (c *Client) Tags(ctx context.Context, arn string) (map[string]string, error) {
	pages := sdk.NewListTagsForResourcePaginator(c.api, &sdk.ListTagsForResourceInput{ResourceArn: &arn})
	tags := map[string]string{}
	err := eachPage(ctx, c, "ListTagsForResource", "list the tags of "+arn, pages, func(page *sdk.ListTagsForResourceOutput) bool {
		for _, tag := range page.Tags {
			tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
		}
		return false
	})
	if err != nil {
		return nil, err // an incomplete list would cause tags to be set again
	}
	return tags, nil
}

// UpdateTags changes the tags of a resource. Both of its calls can be repeated.
func (c *Client) UpdateTags(ctx context.Context, arn string, changes TagChanges) error {
	if len(changes.Remove) > 0 {
		_, err := call(ctx, c, "UntagResource", "remove tags from "+arn, func() (*sdk.UntagResourceOutput, error) {
			return c.api.UntagResource(ctx, &sdk.UntagResourceInput{ResourceArn: &arn, TagKeys: changes.Remove})
		})
		if err != nil {
			return err
		}
	}
	if len(changes.Set) == 0 {
		return nil
	}
	_, err := call(ctx, c, "TagResource", "tag "+arn, func() (*sdk.TagResourceOutput, error) {
		return c.api.TagResource(ctx, &sdk.TagResourceInput{ResourceArn: &arn, Tags: tagList(changes.Set)})
	})
	return err
}

func tagList(tags map[string]string) []types.Tag {
	var list []types.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}

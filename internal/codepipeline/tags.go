package codepipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
)

// TagChanges says which tags are to be set, and which taken off.
type TagChanges struct {
	Set    map[string]string
	Remove []string
}

// None says that nothing is to change.
func (c TagChanges) None() bool { return len(c.Set) == 0 && len(c.Remove) == 0 }

// ChangeTags is what brings the tags that there are in step with those that are
// wanted. Of those that are not wanted only the ones that we have set are taken
// off: others may be somebody else's.
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
	pages := sdk.NewListTagsForResourcePaginator(c.reader, &sdk.ListTagsForResourceInput{ResourceArn: &arn})
	tags := map[string]string{}
	for pages.HasMorePages() {
		if err := c.ready(ctx); err != nil {
			return nil, err
		}
		page, err := pages.NextPage(ctx)
		c.pace.learn(err)
		if err != nil {
			return nil, fmt.Errorf("list the tags of %s: %w", arn, err)
		}
		for _, tag := range page.Tags {
			tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
		}
	}
	return tags, nil
}

// UpdateTags makes changes to the tags of a resource. Both of its calls can be
// repeated.
func (c *Client) UpdateTags(ctx context.Context, arn string, changes TagChanges) error {
	if len(changes.Remove) > 0 {
		if err := c.ready(ctx); err != nil {
			return err
		}
		_, err := c.api.UntagResource(ctx, &sdk.UntagResourceInput{ResourceArn: &arn, TagKeys: changes.Remove})
		c.pace.learn(err)
		if err != nil {
			return fmt.Errorf("take tags off %s: %w", arn, err)
		}
	}
	if len(changes.Set) == 0 {
		return nil
	}
	if err := c.ready(ctx); err != nil {
		return err
	}
	_, err := c.api.TagResource(ctx, &sdk.TagResourceInput{ResourceArn: &arn, Tags: tagList(changes.Set)})
	c.pace.learn(err)
	if err != nil {
		return fmt.Errorf("tag %s: %w", arn, err)
	}
	return nil
}

func tagList(tags map[string]string) []types.Tag {
	var list []types.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}

package engine

import (
	"maps"
	"slices"
	"strings"
)

// maxTags is CodePipeline's quota of tags per resource.
const maxTags = 50

// TagRequest is that of TagResource.
type TagRequest struct {
	ResourceARN string `json:"resourceArn"`
	Tags        []Tag  `json:"tags"`
}

// TagResource adds tags to a pipeline or a custom action type.
func (e *Engine) TagResource(r TagRequest) (*struct{}, error) {
	defer e.enter()()
	known, err := e.tagsOf(r.ResourceARN)
	if err != nil {
		return nil, err
	}
	*known, err = tagged(*known, r.Tags)
	return nil, err
}

// UntagRequest is that of UntagResource.
type UntagRequest struct {
	ResourceARN string   `json:"resourceArn"`
	TagKeys     []string `json:"tagKeys"`
}

// UntagResource removes tags from a pipeline or a custom action type.
func (e *Engine) UntagResource(r UntagRequest) (*struct{}, error) {
	defer e.enter()()
	known, err := e.tagsOf(r.ResourceARN)
	if err != nil {
		return nil, err
	}
	for _, key := range r.TagKeys {
		if err := checkTagKey(key); err != nil {
			return nil, err
		}
	}
	for _, key := range r.TagKeys {
		delete(*known, key)
	}
	return nil, nil
}

// ListTagsRequest is that of ListTagsForResource.
type ListTagsRequest struct {
	ResourceARN string `json:"resourceArn"`
	page
}

// ListTagsResponse is that of ListTagsForResource.
type ListTagsResponse struct {
	Tags      []Tag  `json:"tags"`
	NextToken string `json:"nextToken,omitempty"`
}

// ListTagsForResource lists the tags of a pipeline or a custom action type.
func (e *Engine) ListTagsForResource(r ListTagsRequest) (*ListTagsResponse, error) {
	defer e.enter()()
	known, err := e.tagsOf(r.ResourceARN)
	if err != nil {
		return nil, err
	}
	list, next, err := paged(r.page, listed(*known), 100)
	if err != nil {
		return nil, err
	}
	return &ListTagsResponse{list, next}, nil
}

// tagsOf returns the tags of a resource by its ARN: a pipeline's ends in its name, and an action
// type's in actiontype:OWNER/CATEGORY/PROVIDER/VERSION.
func (e *Engine) tagsOf(arn string) (*map[string]string, error) {
	name, ours := strings.CutPrefix(arn, e.pipelineARN(""))
	if !ours {
		return nil, fail("InvalidArnException", "%s is not an ARN of this account and region", arn)
	}
	if p, ok := e.pipelines[name]; ok {
		return &p.tags, nil
	}
	typeName, isType := strings.CutPrefix(name, "actiontype:")
	if !isType {
		return nil, fail("ResourceNotFoundException", "The account with id '%s' does not include a pipeline with the name '%s'", e.options.AccountID, name)
	}
	parts := strings.Split(typeName, "/")
	if len(parts) == 4 {
		t, ok := e.actionTypes[TypeID{Category: parts[1], Owner: parts[0], Provider: parts[2], Version: parts[3]}]
		if ok && !t.deleted {
			return &t.tags, nil
		}
	}
	return nil, fail("ResourceNotFoundException", "There is no resource %s", arn)
}

// tagged returns known with more tags. It does not change known.
func tagged(known map[string]string, more []Tag) (map[string]string, error) {
	all := map[string]string{}
	maps.Copy(all, known)
	seen := map[string]bool{}
	for _, t := range more {
		if seen[t.Key] {
			return known, fail("InvalidTagsException", "The tag key %s is there twice", t.Key)
		}
		seen[t.Key] = true
		if err := checkTagKey(t.Key); err != nil {
			return known, err
		}
		all[t.Key] = t.Value
	}
	if len(all) > maxTags {
		return known, fail("TooManyTagsException", "A resource has %d tags at most", maxTags)
	}
	return all, nil
}

func checkTagKey(key string) error {
	if strings.HasPrefix(strings.ToLower(key), "aws:") {
		return fail("InvalidTagsException", "The tag key %s begins with aws:, which is AWS's", key)
	}
	return nil
}

// listed returns tags in the order of their keys.
func listed(tags map[string]string) []Tag {
	list := []Tag{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, Tag{key, tags[key]})
	}
	return list
}

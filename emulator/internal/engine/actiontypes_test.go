package engine

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
)

func (w *world) deleteType(provider string) {
	_, err := w.DeleteActionType(DeleteActionTypeRequest{"Build", provider, "1"})
	w.Expect(err).NotTo(HaveOccurred())
}

func TestActionTypesAreChecked(t *testing.T) {
	cases := map[string]func(*CreateActionTypeRequest){
		"two queryable properties": func(r *CreateActionTypeRequest) {
			r.Properties = []Property{{Name: "a", Required: true, Queryable: true}, {Name: "b", Required: true, Queryable: true}}
		},
		"optional queryable": func(r *CreateActionTypeRequest) { r.Properties = []Property{{Name: "a", Queryable: true}} },
		"secret queryable": func(r *CreateActionTypeRequest) {
			r.Properties = []Property{{Name: "a", Required: true, Queryable: true, Secret: true}}
		},
		"two properties of a name":  func(r *CreateActionTypeRequest) { r.Properties = []Property{{Name: "a"}, {Name: "a"}} },
		"more inputs than the most": func(r *CreateActionTypeRequest) { r.Inputs = ArtifactDetails{2, 1} },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			request := typeRequest("Build", "worker")
			change(&request)
			_, err := w.CreateActionType(request)
			w.expectCode(err, "ValidationException")
		})
	}
}

func TestDeletedActionTypeIsRestoredByTheIdenticalDefinitionOnly(t *testing.T) {
	w := newWorld(t)
	same := typeRequest("Build", "worker", Property{Name: "a"})
	same.Settings = &Settings{EntityURLTemplate: "https://ci"}
	_, err := w.CreateActionType(same)
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.CreateActionType(same)
	w.expectCode(err, "ValidationException") // it exists
	w.deleteType("worker")
	w.deleteType("worker")
	w.Expect(w.customTypes()).To(BeEmpty())

	for name, change := range map[string]func(*CreateActionTypeRequest){
		"settings":   func(r *CreateActionTypeRequest) { r.Settings = nil },
		"properties": func(r *CreateActionTypeRequest) { r.Properties = nil },
		"inputs":     func(r *CreateActionTypeRequest) { r.Inputs.MaximumCount = 1 },
		"outputs":    func(r *CreateActionTypeRequest) { r.Outputs.MaximumCount = 1 },
	} {
		other := same
		change(&other)
		_, err = w.CreateActionType(other)
		w.expectCode(err, "ValidationException")
		w.Expect(w.customTypes()).To(BeEmpty(), name)
	}
	_, err = w.CreateActionType(same)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.customTypes()).To(HaveLen(1))
}

func TestEmptyMembersDefineTheSameTypeAsMissingOnes(t *testing.T) {
	w := newWorld(t)
	w.declareType("Build", "worker")
	w.deleteType("worker")
	request := typeRequest("Build", "worker")
	request.Properties, request.Settings = []Property{}, &Settings{}
	_, err := w.CreateActionType(request)
	w.Expect(err).NotTo(HaveOccurred())
}

func (w *world) customTypes() []*ActionType {
	var all []*ActionType
	request := ListActionTypesRequest{Owner: "Custom"}
	for {
		response, err := w.ListActionTypes(request)
		w.Expect(err).NotTo(HaveOccurred())
		all = append(all, response.ActionTypes...)
		if request.NextToken = response.NextToken; request.NextToken == "" {
			return all
		}
	}
}

func TestFiftyActionTypesWithoutDeletedOnes(t *testing.T) {
	w := newWorld(t)
	for i := range 50 {
		w.declareType("Build", fmt.Sprintf("p%02d", i))
	}
	_, err := w.CreateActionType(typeRequest("Build", "more"))
	w.expectCode(err, "LimitExceededException")
	w.Expect(w.customTypes()).To(HaveLen(50))
	w.deleteType("p00")
	w.declareType("Build", "more")
	_, err = w.CreateActionType(typeRequest("Build", "p00")) // restored types count too
	w.expectCode(err, "LimitExceededException")
}

// TestQuotaOfActionTypesIsSet: AWS increases the quota on request.
func TestQuotaOfActionTypesIsSet(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxActionTypes = 1 })
	w.declareType("Build", "one")
	_, err := w.CreateActionType(typeRequest("Build", "more"))
	w.expectCode(err, "LimitExceededException")
	w.Expect(err).To(MatchError(ContainSubstring("limit of 1 custom action types")))
}

func TestListActionTypesByOwner(t *testing.T) {
	w := newWorld(t)
	w.declareType("Build", "worker")
	for owner, want := range map[string]int{"": 3, "AWS": 2, "Custom": 1, "ThirdParty": 0} {
		response, err := w.ListActionTypes(ListActionTypesRequest{Owner: owner})
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(response.ActionTypes).To(HaveLen(want), owner)
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t)
	w.begin(custom("b"))
	for _, arn := range []string{w.pipelineARN("p"), w.pipelineARN("actiontype:Custom/Build/worker/1")} {
		tags := func() []Tag {
			response, err := w.ListTagsForResource(ListTagsRequest{ResourceARN: arn})
			w.Expect(err).NotTo(HaveOccurred())
			return response.Tags
		}
		w.Expect(tags()).To(BeEmpty())
		_, err := w.TagResource(TagRequest{arn, []Tag{{"b", "1"}, {"a", "1"}}})
		w.Expect(err).NotTo(HaveOccurred())
		_, err = w.TagResource(TagRequest{arn, []Tag{{"b", "2"}}})
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(tags()).To(Equal([]Tag{{"a", "1"}, {"b", "2"}}))
		_, err = w.UntagResource(UntagRequest{arn, []string{"a", "none"}})
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(tags()).To(Equal([]Tag{{"b", "2"}}))
		_, err = w.TagResource(TagRequest{arn, []Tag{{"aws:x", "1"}}})
		w.expectCode(err, "InvalidTagsException")
		var many []Tag
		for i := range 50 {
			many = append(many, Tag{fmt.Sprint(i), ""})
		}
		_, err = w.TagResource(TagRequest{arn, many})
		w.expectCode(err, "TooManyTagsException")
		w.Expect(tags()).To(HaveLen(1))
	}
	_, err := w.TagResource(TagRequest{w.pipelineARN("none"), nil})
	w.expectCode(err, "ResourceNotFoundException")
	_, err = w.UntagResource(UntagRequest{"arn:aws:codepipeline:mars:111122223333:p", nil})
	w.expectCode(err, "InvalidArnException")
}

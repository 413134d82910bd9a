package codepipeline

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestIsActionTypeARN(t *testing.T) {
	id := ActionTypeID{Category: "Test", Provider: "work", Version: "1"}
	for text, want := range map[string]bool{
		"arn:aws:codepipeline:us-east-1:111122223333:actiontype:Custom/Test/work/1":    true,
		"arn:aws-cn:codepipeline:us-east-1:111122223333:actiontype:Custom/Test/work/1": true,
		"arn:aws:codepipeline:us-east-1:111122223333:actiontype:Custom/Test/other/1":   false,
		"arn:aws:codepipeline:us-east-1:111122223333:actiontype:Custom/Test/work/2":    false,
		"arn:aws:codepipeline:us-east-1:111122223333:a-pipeline":                       false,
		"arn:aws:codepipeline:eu-west-1:111122223333:actiontype:Custom/Test/work/1":    false,
		"arn:aws:codepipeline:us-east-1:444455556666:actiontype:Custom/Test/work/1":    false,
		"arn:aws:s3:us-east-1:111122223333:actiontype:Custom/Test/work/1":              false,
		"actiontype:Custom/Test/work/1":                                                false,
		"":                                                                             false,
	} {
		NewWithT(t).Expect(IsActionTypeARN(text, "us-east-1", "111122223333", id)).To(Equal(want), text)
	}
}

package model

import (
	"encoding/json"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestLoad(t *testing.T) {
	g := NewWithT(t)
	m, err := Load()
	g.Expect(err).NotTo(HaveOccurred())
	for name, operation := range m.Operations {
		g.Expect(operation.Errors).To(ContainElement("ValidationException"), name)
		checkStructs(g, m, operation.Request, name)
	}
	for name, members := range m.Structs {
		checkStructs(g, m, members, name)
	}
}

// checkStructs finds references to missing structures.
func checkStructs(g Gomega, m *Model, members []Member, where string) {
	for _, member := range members {
		for t := member.Type; t != nil; t = t.Element {
			if t.Kind == "struct" {
				g.Expect(m.Structs).To(HaveKey(t.Struct), "%s.%s", where, member.Name)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	const id = `"jobId":"00000000-0000-0000-0000-000000000001"`
	text := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	cases := map[string]struct {
		operation, request string
		want               string // empty if valid
	}{
		"valid":                  {"AcknowledgeJob", `{` + id + `,"nonce":"1"}`, ""},
		"required":               {"AcknowledgeJob", `{` + id + `}`, "1 validation error detected: Value null at 'nonce' failed to satisfy constraint: Member must not be null"},
		"pattern":                {"GetJobDetails", `{"jobId":"nope"}`, "Value 'nope' at 'jobId' failed to satisfy constraint: Member must satisfy regular expression pattern: [0-9a-f]{8}-"},
		"length at the limit":    {"PutJobSuccessResult", `{` + id + `,"continuationToken":` + text(2048) + `}`, ""},
		"length over the limit":  {"PutJobSuccessResult", `{` + id + `,"continuationToken":` + text(2049) + `}`, "at 'continuationToken' failed to satisfy constraint: Member must have length less than or equal to 2048"},
		"length under the limit": {"PutJobSuccessResult", `{` + id + `,"executionDetails":{"summary":""}}`, "Value '' at 'executionDetails.summary' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"value at the limit":     {"PutJobSuccessResult", `{` + id + `,"executionDetails":{"percentComplete":100}}`, ""},
		"value over the limit":   {"PutJobSuccessResult", `{` + id + `,"executionDetails":{"percentComplete":101}}`, "Value '101' at 'executionDetails.percentComplete' failed to satisfy constraint: Member must have value less than or equal to 100"},
		"enum":                   {"PutJobFailureResult", `{` + id + `,"failureDetails":{"type":"Bad","message":"m"}}`, "Value 'Bad' at 'failureDetails.type' failed to satisfy constraint: Member must satisfy enum value set: [JobFailed, ConfigurationError, PermissionError, RevisionOutOfSync, RevisionUnavailable, SystemUnavailable]"},
		"map key":                {"PutJobSuccessResult", `{` + id + `,"outputVariables":{"a b":"c"}}`, "Value 'a b' at 'outputVariables.key' failed"},
		"a count over the limit": {"PollForJobs", `{"actionTypeId":{"category":"Test","owner":"Custom","provider":"p","version":"1"},"queryParam":{"a":"b","c":"d"}}`, "at 'queryParam' failed to satisfy constraint: Member must have length less than or equal to 1"},
		"in a list":              {"CreateCustomActionType", `{"category":"Test","provider":"p","version":"1","inputArtifactDetails":{"minimumCount":0,"maximumCount":6},"outputArtifactDetails":{"minimumCount":0,"maximumCount":0},"configurationProperties":[{"name":"n","required":true,"key":true}]}`, "2 validation errors detected: Value null at 'configurationProperties.1.member.secret'"},
		"a role's ARN":           {"CreatePipeline", `{"pipeline":{"name":"p","roleArn":"arn:aws:iam::111122223333:role/path/r","stages":[]}}`, ""},
		"no ARN":                 {"CreatePipeline", `{"pipeline":{"name":"p","roleArn":"r","stages":[]}}`, "at 'pipeline.roleArn' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws(-[\\w]+)*:iam::[0-9]{12}:role/.*"},
	}
	m, err := Load()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			found, err := m.Validate(m.Operations[c.operation], decode(g, c.request))
			g.Expect(err).NotTo(HaveOccurred())
			if c.want == "" {
				g.Expect(found).To(BeEmpty())
				return
			}
			g.Expect(found.Message()).To(ContainSubstring(c.want))
		})
	}
}

func TestValidateTypes(t *testing.T) {
	g := NewWithT(t)
	m, err := Load()
	g.Expect(err).NotTo(HaveOccurred())
	_, err = m.Validate(m.Operations["GetJobDetails"], decode(g, `{"jobId":7}`))
	g.Expect(err).To(MatchError("jobId must be of type string"))
}

func decode(g Gomega, text string) map[string]any {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var request map[string]any
	g.Expect(decoder.Decode(&request)).To(Succeed())
	return request
}

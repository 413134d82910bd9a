package codepipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Differences lists the differences between a definition and an action type in CodePipeline, by
// AWS's field names. A field that CodePipeline did not return matches anything, including the whole
// list of properties. A property without a type is a String. The order of properties does not
// matter.
func Differences(want ActionType, have ListedActionType) []string {
	fields := differing("", []member{
		{"settings.thirdPartyConfigurationUrl", differs(want.Settings.ThirdPartyConfigurationURL, optional(have.Settings.ThirdPartyConfigurationURL))},
		{"settings.entityUrlTemplate", differs(want.Settings.EntityURLTemplate, optional(have.Settings.EntityURLTemplate))},
		{"settings.executionUrlTemplate", differs(want.Settings.ExecutionURLTemplate, optional(have.Settings.ExecutionURLTemplate))},
		{"settings.revisionUrlTemplate", differs(want.Settings.RevisionURLTemplate, optional(have.Settings.RevisionURLTemplate))},
		{"inputArtifactDetails.minimumCount", differs(want.Inputs.Minimum, have.Inputs.Minimum)},
		{"inputArtifactDetails.maximumCount", differs(want.Inputs.Maximum, have.Inputs.Maximum)},
		{"outputArtifactDetails.minimumCount", differs(want.Outputs.Minimum, have.Outputs.Minimum)},
		{"outputArtifactDetails.maximumCount", differs(want.Outputs.Maximum, have.Outputs.Maximum)},
	})
	if have.Properties == nil {
		return fields
	}
	return append(fields, propertyDifferences(want.Properties, have.Properties)...)
}

// member is a field of a definition, and whether it differs.
type member struct {
	name    string
	differs bool
}

// differs reports whether a value was returned and differs from the wanted one.
func differs[T comparable](want T, have *T) bool { return have != nil && *have != want }

func differing(of string, members []member) []string {
	var fields []string
	for _, m := range members {
		if m.differs {
			fields = append(fields, of+m.name)
		}
	}
	return fields
}

func propertyDifferences(want []Property, have []ListedProperty) []string {
	var fields []string
	had := map[string]ListedProperty{}
	for _, property := range have {
		had[property.Name] = property
	}
	for _, wanted := range want {
		found, ok := had[wanted.Name]
		if !ok {
			fields = append(fields, fmt.Sprintf("configurationProperties[%s] (missing in CodePipeline)", wanted.Name))
			continue
		}
		delete(had, wanted.Name)
		fields = append(fields, differing(fmt.Sprintf("configurationProperties[%s].", wanted.Name), []member{
			{"required", differs(wanted.Required, found.Required)},
			{"key", differs(wanted.Key, found.Key)},
			{"secret", differs(wanted.Secret, found.Secret)},
			{"queryable", differs(wanted.Queryable, found.Queryable)},
			{"description", differs(wanted.Description, optional(found.Description))},
			{"type", differs(cmp.Or(wanted.Type, "String"), optional(found.Type))},
		})...)
	}
	for name := range had {
		fields = append(fields, fmt.Sprintf("configurationProperties[%s] (only in CodePipeline)", name))
	}
	slices.SortFunc(fields, strings.Compare)
	return fields
}

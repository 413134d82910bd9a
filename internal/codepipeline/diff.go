package codepipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Differences lists, by AWS's field names, what differs between two
// definitions of one action type. A wanted property whose type is not given is
// a String; a type that CodePipeline leaves out matches any. The order of
// properties does not matter.
func Differences(want, have ActionType) []string {
	var fields []string
	differ := func(field string, same bool) {
		if !same {
			fields = append(fields, field)
		}
	}
	differ("settings.thirdPartyConfigurationUrl", want.Settings.ThirdPartyConfigurationURL == have.Settings.ThirdPartyConfigurationURL)
	differ("settings.entityUrlTemplate", want.Settings.EntityURLTemplate == have.Settings.EntityURLTemplate)
	differ("settings.executionUrlTemplate", want.Settings.ExecutionURLTemplate == have.Settings.ExecutionURLTemplate)
	differ("settings.revisionUrlTemplate", want.Settings.RevisionURLTemplate == have.Settings.RevisionURLTemplate)
	differ("inputArtifactDetails", want.Inputs == have.Inputs)
	differ("outputArtifactDetails", want.Outputs == have.Outputs)
	return append(fields, propertyDifferences(want.Properties, have.Properties)...)
}

func propertyDifferences(want, have []Property) []string {
	var fields []string
	wanted, had := byName(want), byName(have)
	for name, property := range wanted {
		found, ok := had[name]
		if !ok {
			fields = append(fields, fmt.Sprintf("configurationProperties[%s] (missing in CodePipeline)", name))
			continue
		}
		property.Type = cmp.Or(property.Type, "String")
		found.Type = cmp.Or(found.Type, property.Type)
		if property != found {
			fields = append(fields, fmt.Sprintf("configurationProperties[%s]", name))
		}
	}
	for name := range had {
		if _, ok := wanted[name]; !ok {
			fields = append(fields, fmt.Sprintf("configurationProperties[%s] (only in CodePipeline)", name))
		}
	}
	slices.SortFunc(fields, strings.Compare)
	return fields
}

func byName(properties []Property) map[string]Property {
	named := make(map[string]Property, len(properties))
	for _, property := range properties {
		named[property.Name] = property
	}
	return named
}

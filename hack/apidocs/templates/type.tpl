{{- /* A type: what it is, its fields or values, and its rules. Takes the type, and the level of its heading. */ -}}
{{- define "type" -}}
{{- $type := .type }}
{{- if markdownShouldRenderType $type }}
{{ .level }} {{ $type.Name }}

{{ template "text" $type.Doc }}
{{- if $type.References }}

Used by:
{{- range $at, $user := $type.SortedReferences }}{{ if $at }},{{ end }} [{{ .Name }}](#{{ lower .Name }}){{ end }}
{{- end }}
{{- if $type.IsAlias }}

Type: {{ template "typeName" $type.UnderlyingType }}{{ range $type.Validation }}{{ if not (and $type.EnumValues (hasPrefix "Enum" .)) }}; {{ template "validation" . }}{{ end }}{{ end }}
{{- end }}
{{- if $type.Members }}

| field | description | default | validation |
| --- | --- | --- | --- |
{{- if $type.GVK }}
| `apiVersion`<br/>string | {{ $type.GVK.Group }}/{{ $type.GVK.Version }} | | required |
| `kind`<br/>string | {{ $type.GVK.Kind }} | | required |
{{- end }}
{{- range $type.Members }}
| `{{ .Name }}`<br/>{{ template "typeName" .Type }} | {{ template "cell" .Doc }} | {{ if .Default }}`{{ regexReplaceAll `\{\s+\}` .Default "{}" }}`{{ end }} | {{ template "validations" . }} |
{{- end }}
{{- end }}
{{- if $type.EnumValues }}

| value | meaning |
| --- | --- |
{{- range $type.EnumValues }}
| `{{ .Name }}` | {{ template "valueDoc" .Doc }} |
{{- end }}
{{- end }}
{{- with index $type.Markers "kubebuilder:validation:XValidation" }}

Rules:
{{ range . }}
- {{ if .FieldPath }}`{{ trimPrefix "." .FieldPath }}`: {{ end }}{{ if eq .Reason "FieldValueRequired" }}required: {{ end }}{{ template "text" .Message }}
{{- end }}
{{- end }}
{{ end }}
{{- end -}}

{{- /* What a constant means. Its comment begins with its name in Go. */ -}}
{{- define "valueDoc" -}}
{{- $text := regexReplaceAll `^\w+:?\s+(is for )?` (trim .) "" -}}
{{- if $text }}{{ upper (substr 0 1 $text) }}{{ template "cell" (trimPrefix (substr 0 1 $text) $text) }}{{ end }}
{{- end -}}

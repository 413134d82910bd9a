{{- /* A type as users know it. Those of this page are linked. Takes the type. */ -}}
{{- define "typeName" -}}
{{- if eq .Kind 3 -}}
map of {{ template "typeName" .KeyType }} to {{ template "typeName" .ValueType }}
{{- else if eq .Kind 5 -}}
list of {{ template "typeName" .UnderlyingType }}
{{- else if eq .Kind 4 -}}
{{ template "typeName" .UnderlyingType }}
{{- else if hasSuffix "/api/v1alpha1" .Package -}}
[{{ .Name }}](#{{ lower .Name }})
{{- else if has .Name (list "Duration" "Time") -}}
{{ lower .Name }}
{{- else -}}
{{ .Name | replace "int32" "integer" | replace "int64" "integer" | replace "bool" "boolean" }}
{{- end -}}
{{- end -}}

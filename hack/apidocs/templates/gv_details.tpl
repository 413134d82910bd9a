{{- /* The kinds, each with its spec and status, and then all other types by name. */ -}}
{{- define "gvDetails" -}}
{{- $gv := . -}}
{{- $shown := list }}
API version: `{{ $gv.GroupVersionString }}`

| kind | short name | scope | what it is |
| --- | --- | --- | --- |
{{- range $gv.SortedKinds }}
{{- $type := $gv.TypeForKind . }}
{{- if not (hasSuffix "List" .) }}
{{- range index $type.Markers "kubebuilder:resource" }}
| [{{ $type.Name }}](#{{ lower $type.Name }}) | {{ join ", " .ShortName }} | {{ default "Namespaced" .Scope }} | {{ template "cell" (index (splitList "\n\n" $type.Doc) 0) }} |
{{- end }}
{{- end }}
{{- end }}
{{ range $gv.SortedKinds }}
{{- if not (hasSuffix "List" .) }}
{{- range list . (print . "Spec") (print . "Status") }}
{{- $shown = append $shown . }}
{{- template "type" (dict "type" (index $gv.Types .) "level" (ternary "##" "###" (has . $gv.SortedKinds))) }}
{{- end }}
{{- end }}
{{- end }}
## Other types
{{ range $gv.SortedTypes }}
{{- if not (or (has .Name $shown) (hasSuffix "List" .Name)) }}
{{- template "type" (dict "type" . "level" "###") }}
{{- end }}
{{- end }}
{{- end -}}

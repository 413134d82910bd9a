{{- /* All that a field's value has to be, but for what its type says, if that is on this page. Takes the field. */ -}}
{{- define "validations" -}}
{{- $type := .Type }}
{{- if eq $type.Kind 4 }}{{ $type = $type.UnderlyingType }}{{ end }}
{{- $all := list }}
{{- range .Validation }}
{{- $ofElements := and (eq $type.Kind 5) (has . $type.UnderlyingType.Validation) }}
{{- if eq . "Required: {}" }}{{ $all = prepend $all . }}
{{- else if not (or (eq . "Optional: {}") $ofElements) }}{{ $all = append $all . }}{{ end }}
{{- end }}
{{- range $at, $one := $all }}{{ if $at }}<br/>{{ end }}{{ template "validation" $one }}{{ end }}
{{- if not (hasSuffix "/api/v1alpha1" $type.Package) }}
{{- range $at, $rule := index .Markers "kubebuilder:validation:XValidation" }}{{ if or $at $all }}<br/>{{ end }}{{ template "cell" .Message }}{{ end }}
{{- end }}
{{- end -}}

{{- /* A marker in words. Takes its name and value, as in "MaxLength: 35". */ -}}
{{- define "validation" -}}
{{- $parts := splitn ": " 2 . -}}
{{- $name := trimPrefix "items:" $parts._0 -}}
{{- $value := $parts._1 -}}
{{- if hasPrefix "items:" $parts._0 }}each: {{ end -}}
{{- if eq $name "Required" }}required
{{- else if eq $name "Enum" }}one of {{ range $at, $one := splitList " " (trimAll "[]" $value) }}{{ if $at }}, {{ end }}`{{ $one }}`{{ end }}
{{- else if eq $name "Pattern" }}matches {{ replace "|" `\|` $value }}
{{- else if eq $name "MinLength" }}at least {{ $value }} {{ plural "character" "characters" (int $value) }}
{{- else if eq $name "MaxLength" }}at most {{ $value }} characters
{{- else if has $name (list "MinItems" "MinProperties") }}at least {{ $value }} {{ plural "element" "elements" (int $value) }}
{{- else if has $name (list "MaxItems" "MaxProperties") }}at most {{ $value }} {{ plural "element" "elements" (int $value) }}
{{- else if eq $name "Minimum" }}at least {{ $value }}
{{- else if eq $name "Maximum" }}at most {{ $value }}
{{- else }}{{ $name }}: {{ $value }}
{{- end -}}
{{- end -}}

{{- /* Text of a comment, without anything that Markdown takes for markup. */ -}}
{{- define "text" -}}
{{ . | replace `_` `\_` | replace `*` `\*` | replace `<` `&lt;` | replace `[` `\[` }}
{{- end -}}

{{- /* The same in a cell of a table. */ -}}
{{- define "cell" -}}
{{ regexReplaceAll `\n\n+` . "<P>" | replace "\n" " " | replace `_` `\_` | replace `*` `\*` | replace `[` `\[` | replace `|` `\|` | replace "<P>" "\x00" | replace `<` `&lt;` | replace "\x00" "<br/><br/>" }}
{{- end -}}

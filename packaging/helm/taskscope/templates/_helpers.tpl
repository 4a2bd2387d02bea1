{{- define "taskscope.labels" -}}
app.kubernetes.io/name: taskscope
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

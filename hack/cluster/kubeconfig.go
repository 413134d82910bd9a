package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"text/template"
)

var kubeconfigTemplate = template.Must(template.New("kubeconfig").Parse(`apiVersion: v1
kind: Config
clusters:
- name: {{.Name}}
  cluster:
    server: {{.Server}}
    certificate-authority-data: {{.CA}}
users:
- name: {{.User}}
  user:
    client-certificate-data: {{.Cert}}
    client-key-data: {{.Key}}
contexts:
- name: {{.Name}}
  context:
    cluster: {{.Name}}
    user: {{.User}}
current-context: {{.Name}}
`))

// writeKubeconfig writes a kubeconfig for one of the cluster's users. It embeds the certificates,
// so that the file can be copied anywhere.
func (c *cluster) writeKubeconfig(path, user string, n network) error {
	values := map[string]string{"Name": c.name, "User": user, "Server": n.server()}
	for key, file := range map[string]string{"CA": "ca.crt", "Cert": user + ".crt", "Key": user + ".key"} {
		data, err := os.ReadFile(c.pki(file))
		if err != nil {
			return err
		}
		values[key] = base64.StdEncoding.EncodeToString(data)
	}
	var out bytes.Buffer
	if err := kubeconfigTemplate.Execute(&out, values); err != nil {
		return err
	}
	return writeFile(path, out.Bytes(), 0o600)
}

func (n network) server() string { return fmt.Sprintf("https://%s:6443", n.node()) }

// giveToCaller lets the user who ran sudo read the kubeconfig.
func giveToCaller(path string) error {
	uid, err1 := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, err2 := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err1 != nil || err2 != nil {
		return nil
	}
	return os.Chown(path, uid, gid)
}

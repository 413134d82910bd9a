package main

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed templates
var templateFiles embed.FS

var templates = template.Must(template.ParseFS(templateFiles, "templates/*"))

// Folders in which distributions install CNI plug-ins.
var cniFolders = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// PauseImage is the image with which containerd holds a pod's namespaces. It is built from this
// repository, because there may be no registry.
const PauseImage = "pipelinejob.dev/pause:dev"

const containerdSocket = "/run/containerd/containerd.sock"

// writeConfig writes all files that the components read when they start.
func (c *cluster) writeConfig(n network) error {
	if err := c.ensurePKI(n); err != nil {
		return err
	}
	cni, err := findCNI(c.cni)
	if err != nil {
		return err
	}
	values := map[string]string{
		"CNIBin": cni, "CNIConf": c.etc("cni"), "Pause": PauseImage, "Socket": containerdSocket,
		"Pods": n.pods().String(), "DNS": n.dnsService().String(), "Node": n.node().String(),
		"NodeName": c.nodeName(), "Cgroup": c.cgroup(), "PKI": c.path("pki"), "Etc": c.path("etc"),
	}
	for name, path := range map[string]string{
		"containerd.toml": c.etc("containerd.toml"),
		"cni.conflist":    c.etc("cni/10-ptp.conflist"),
		"kubelet.yaml":    c.etc("kubelet.yaml"),
		"kube-proxy.yaml": c.etc("kube-proxy.yaml"),

		"audit-policy.yaml": c.etc("audit-policy.yaml"),
	} {
		var out bytes.Buffer
		if err := templates.ExecuteTemplate(&out, name, values); err != nil {
			return err
		}
		if err := writeFile(path, out.Bytes(), 0o644); err != nil {
			return err
		}
	}
	for _, user := range []string{"kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		if err := c.writeKubeconfig(c.etc(user+".kubeconfig"), user, n); err != nil {
			return err
		}
	}
	if err := c.writeKubeconfig(c.kubeconfig(), "admin", n); err != nil {
		return err
	}
	return giveToCaller(c.kubeconfig())
}

func findCNI(folders []string) (string, error) {
	for _, dir := range folders {
		if _, err := os.Stat(filepath.Join(dir, "ptp")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no CNI plug-in ptp in %v: install containernetworking-plugins", folders)
}

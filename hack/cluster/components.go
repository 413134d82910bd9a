package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"time"
)

// A component is one of the cluster's programs.
type component struct {
	name string
	args []string
	// ready must succeed before the next components are started. It may be nil.
	ready func(context.Context) error
}

// components lists the cluster's programs in the order of their start.
func (c *cluster) components(n network) []component {
	return []component{
		{name: "etcd", args: c.etcdArgs(), ready: httpOK("http://127.0.0.1:2379/health")},
		{name: "containerd", args: []string{"--config=" + c.etc("containerd.toml")}, ready: dials(containerdSocket)},
		{name: "kube-apiserver", args: c.apiServerArgs(n), ready: c.apiReady(n)},
		{name: "kube-controller-manager", args: c.controllerManagerArgs(n)},
		{name: "kube-scheduler", args: c.schedulerArgs()},
		{name: "kubelet", args: []string{
			"--config=" + c.etc("kubelet.yaml"),
			"--kubeconfig=" + c.etc("kubelet.kubeconfig"),
			"--hostname-override=" + c.nodeName(),
			"--node-ip=" + n.node().String(),
		}},
		{name: "kube-proxy", args: []string{"--config=" + c.etc("kube-proxy.yaml")}},
	}
}

func componentNames() []string {
	var names []string
	for _, part := range (&cluster{}).components(network{}) {
		names = append(names, part.name)
	}
	return names
}

// binary returns the path of a component's program: the distribution's containerd, or the project's
// own build of the others.
func (c *cluster) binary(name string) (string, error) {
	if name != "containerd" {
		return c.asset(name), nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("no containerd on this machine: install the package containerd")
	}
	return path, nil
}

func (c *cluster) etcdArgs() []string {
	return []string{
		"--name=" + c.nodeName(),
		"--data-dir=/var/lib/etcd",
		// On the node's loopback, which only the node can reach.
		"--listen-client-urls=http://127.0.0.1:2379",
		"--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380",
		"--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=" + c.nodeName() + "=http://127.0.0.1:2380",
		// The data survives crashes of processes, but not a power failure.
		"--unsafe-no-fsync",
	}
}

func (c *cluster) apiServerArgs(n network) []string {
	return []string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--bind-address=0.0.0.0",
		"--advertise-address=" + n.node().String(),
		"--secure-port=6443",
		"--service-cluster-ip-range=" + n.services().String(),
		"--tls-cert-file=" + c.pki("apiserver.crt"),
		"--tls-private-key-file=" + c.pki("apiserver.key"),
		"--client-ca-file=" + c.pki("ca.crt"),
		"--kubelet-certificate-authority=" + c.pki("ca.crt"),
		"--kubelet-client-certificate=" + c.pki("apiserver-kubelet.crt"),
		"--kubelet-client-key=" + c.pki("apiserver-kubelet.key"),
		// The node's name has no DNS record.
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + c.pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.pki("sa.pub"),
		"--service-account-signing-key-file=" + c.pki("sa.key"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction,PodSecurity",
		"--allow-privileged=true",
		"--audit-policy-file=" + c.etc("audit-policy.yaml"),
		"--audit-log-path=" + c.auditLog(),
		"--audit-log-maxsize=64", // MiB; the previous file is kept
		"--audit-log-maxbackup=1",
	}
}

func (c *cluster) controllerManagerArgs(n network) []string {
	config := c.etc("kube-controller-manager.kubeconfig")
	return []string{
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + c.pki("sa.key"),
		"--root-ca-file=" + c.pki("ca.crt"),
		"--cluster-signing-cert-file=" + c.pki("ca.crt"),
		"--cluster-signing-key-file=" + c.pki("ca.key"),
		"--service-cluster-ip-range=" + n.services().String(),
		"--flex-volume-plugin-dir=/var/lib/kubelet/volume-plugins",
		"--leader-elect=false",
		// At the default rate, getting service account tokens for its controllers takes 5 seconds.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	}
}

func (c *cluster) schedulerArgs() []string {
	config := c.etc("kube-scheduler.kubeconfig")
	return []string{
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--leader-elect=false",
	}
}

func httpOK(url string) func(context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second}
	return func(ctx context.Context) error { return getOK(ctx, client, url) }
}

func dials(socket string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

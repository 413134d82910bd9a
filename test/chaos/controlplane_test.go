//go:build chaos

package chaos

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// controlPlane is etcd, the API server, and the Job and garbage collection controllers.
type controlPlane struct {
	dir, assets                 string
	etcdPort, peerPort, apiPort int
	etcd, api, controllers      *process
}

// adminToken is the token of an administrator. Only this machine can reach the API server.
const adminToken = "chaos"

func newControlPlane(dir, assets string) (*controlPlane, error) {
	c := &controlPlane{dir: dir, assets: assets}
	for _, port := range []*int{&c.etcdPort, &c.peerPort, &c.apiPort} {
		free, err := freePort()
		if err != nil {
			return nil, err
		}
		*port = free
	}
	if err := c.writeFiles(); err != nil {
		return nil, err
	}
	c.etcd = &process{name: "etcd", dir: dir, args: c.etcdArgs}
	c.api = &process{name: "kube-apiserver", dir: dir, args: c.apiArgs}
	c.controllers = &process{name: "kube-controller-manager", dir: dir, args: c.controllerArgs}
	return c, nil
}

// freePort returns a port on which nothing listens. It stays the same over restarts.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return 0, err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func (c *controlPlane) file(name string) string { return filepath.Join(c.dir, name) }

func (c *controlPlane) url() string { return fmt.Sprintf("https://127.0.0.1:%d", c.apiPort) }

func (c *controlPlane) writeFiles() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	content, err := yaml.Marshal(clientcmd.Config{
		CurrentContext: "chaos",
		Contexts:       []clientcmd.NamedContext{{Name: "chaos", Context: clientcmd.Context{Cluster: "chaos", AuthInfo: "chaos"}}},
		Clusters: []clientcmd.NamedCluster{{Name: "chaos", Cluster: clientcmd.Cluster{
			Server: c.url(), CertificateAuthority: c.file("apiserver.crt"),
		}}},
		AuthInfos: []clientcmd.NamedAuthInfo{{Name: "chaos", AuthInfo: clientcmd.AuthInfo{Token: adminToken}}},
	})
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"sa.key":     pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		"tokens.csv": []byte(adminToken + ",chaos,chaos,system:masters\n"),
		"kubeconfig": content,
	} {
		if err := os.WriteFile(c.file(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (c *controlPlane) etcdArgs() []string {
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", c.etcdPort), fmt.Sprintf("http://127.0.0.1:%d", c.peerPort)
	return []string{
		filepath.Join(c.assets, "etcd"), "--name=chaos", "--data-dir=" + c.file("etcd"), "--log-level=warn",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=chaos=" + peer,
		"--unsafe-no-fsync", // data survives crashes of processes
	}
}

func (c *controlPlane) apiArgs() []string {
	return []string{
		filepath.Join(c.assets, "kube-apiserver"), fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", c.etcdPort),
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.apiPort), "--cert-dir=" + c.dir,
		"--service-cluster-ip-range=10.0.0.0/24", "--service-account-issuer=https://chaos",
		"--service-account-key-file=" + c.file("sa.key"), "--service-account-signing-key-file=" + c.file("sa.key"),
		"--authorization-mode=RBAC", "--token-auth-file=" + c.file("tokens.csv"),
		"--disable-admission-plugins=ServiceAccount", "--kubelet-preferred-address-types=InternalIP",
	}
}

func (c *controlPlane) controllerArgs() []string {
	return []string{
		filepath.Join(c.assets, "kube-controller-manager"), "--kubeconfig=" + c.file("kubeconfig"), "--secure-port=0",
		"--controllers=job-controller,garbage-collector-controller", "--leader-elect=false",
		"--kube-api-qps=500", "--kube-api-burst=1000", "--concurrent-job-syncs=20",
	}
}

// start starts all processes, and waits until the API server is ready.
func (c *controlPlane) start(ctx context.Context) error {
	c.etcd.start()
	c.api.start()
	if err := c.ready(ctx); err != nil {
		return err
	}
	c.controllers.start()
	return nil
}

func (c *controlPlane) stop() {
	for _, p := range []*process{c.controllers, c.api, c.etcd} {
		p.stop()
	}
}

// config returns the test's own access to the API server, without faults.
func (c *controlPlane) config() *rest.Config {
	return &rest.Config{
		Host: c.url(), BearerToken: adminToken, TLSClientConfig: rest.TLSClientConfig{CAFile: c.file("apiserver.crt")}, QPS: -1,
	}
}

// ready waits until the API server is ready.
func (c *controlPlane) ready(ctx context.Context) error {
	return until(ctx, 100*time.Millisecond, "wait for the API server", func() bool {
		client, err := rest.HTTPClientFor(c.config()) // there may be no certificate yet
		if err != nil {
			return false
		}
		defer client.CloseIdleConnections()
		client.Timeout = 5 * time.Second
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url()+"/readyz", nil)
		if err != nil {
			return false
		}
		response, err := client.Do(request)
		if err != nil {
			return false
		}
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
}

// restart kills processes and starts them again with the same data.
func (c *controlPlane) restart(ctx context.Context, which ...*process) error {
	for _, p := range which {
		p.hold()
	}
	for _, p := range which {
		p.release()
	}
	return c.ready(ctx)
}

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// A probe checks the health of a component.
type probe struct {
	name  string
	check func(context.Context) error
}

// probes returns the probes from the machine, in the order in which components depend on each
// other, so that the first failed one shows the cause. etcd has no address outside of the node, so
// the API server's probe covers it.
func (c *cluster) probes(initPID int, n network) ([]probe, error) {
	api, err := c.apiClient()
	if err != nil {
		return nil, err
	}
	// The controller manager and the scheduler generate a new certificate at each start, and their
	// health is not secret.
	plain := client(&tls.Config{InsecureSkipVerify: true})
	at := func(scheme string, port int, path string) string {
		return fmt.Sprintf("%s://%s:%d%s", scheme, n.node(), port, path)
	}
	ok := func(client *http.Client, url string) func(context.Context) error {
		return func(ctx context.Context) error { return getOK(ctx, client, url) }
	}
	return []probe{
		{"etcd", ok(api, n.server()+"/readyz/etcd")},
		{"kube-apiserver", ok(api, n.server()+"/readyz")},
		{"containerd", dials(c.hostSocket(initPID))},
		{"kube-controller-manager", ok(plain, at("https", 10257, "/healthz"))},
		{"kube-scheduler", ok(plain, at("https", 10259, "/healthz"))},
		{"kube-proxy", ok(plain, at("http", 10256, "/livez"))},
		{"kubelet", ok(plain, at("http", 10248, "/healthz"))},
		{"kubelet", func(ctx context.Context) error { return c.nodeReady(ctx, api, n) }},
		{"kube-controller-manager", func(ctx context.Context) error {
			return getOK(ctx, api, n.server()+"/api/v1/namespaces/default/serviceaccounts/default")
		}},
	}, nil
}

// hostSocket returns the path of the node's containerd socket outside of the node.
func (c *cluster) hostSocket(initPID int) string {
	return fmt.Sprintf("/proc/%d/root%s", initPID, containerdSocket)
}

// apiReady returns the supervisor's probe of the API server, from inside the node.
func (c *cluster) apiReady(n network) func(context.Context) error {
	return func(ctx context.Context) error {
		api, err := c.apiClient()
		if err != nil {
			return err
		}
		return getOK(ctx, api, n.server()+"/readyz")
	}
}

// apiClient returns a client of the API server with the rights of the cluster's administrator.
func (c *cluster) apiClient() (*http.Client, error) {
	ca, err := os.ReadFile(c.pki("ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	cert, err := tls.LoadX509KeyPair(c.pki("admin.crt"), c.pki("admin.key"))
	if err != nil {
		return nil, err
	}
	return client(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}), nil
}

// client returns a client without persistent connections, because servers may be restarted, and
// without a proxy, because the node is on this machine.
func client(config *tls.Config) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig:   config,
		DisableKeepAlives: true,
		DialContext:       (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
	}}
}

func getOK(ctx context.Context, client *http.Client, url string) error {
	_, err := get(ctx, client, url)
	return err
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s: %.300s", url, resp.Status, body)
	}
	return body, nil
}

type nodeStatus struct {
	Status struct {
		Conditions []struct {
			Type, Status, Reason, Message string
			LastHeartbeatTime             time.Time
		}
	}
}

func (c *cluster) nodeReady(ctx context.Context, api *http.Client, n network) error {
	body, err := get(ctx, api, n.server()+"/api/v1/nodes/"+c.nodeName())
	if err != nil {
		return err
	}
	// The stored status may be from before the kubelet was restarted. Times in the API are in whole
	// seconds.
	return readyCondition(body, c.recorded("kubelet").Started.Truncate(time.Second))
}

// readyCondition returns an error if a node is not ready, or has not reported since.
func readyCondition(node []byte, since time.Time) error {
	var status nodeStatus
	if err := json.Unmarshal(node, &status); err != nil {
		return err
	}
	for _, cond := range status.Status.Conditions {
		if cond.Type != "Ready" {
			continue
		}
		if cond.LastHeartbeatTime.Before(since) {
			break
		}
		if cond.Status == "True" {
			return nil
		}
		return fmt.Errorf("the node is not ready: %s: %s", cond.Reason, cond.Message)
	}
	return fmt.Errorf("the node has not reported yet")
}

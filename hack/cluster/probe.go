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

// A probe asks one component whether it is well.
type probe struct {
	name  string
	check func(context.Context) error
}

// probes lists how the machine sees the components, in the order in which
// one needs the other: the first that fails is the one to look at. etcd has
// no address outside the node, and is judged by the API server.
func (c *cluster) probes(initPID int, n network) ([]probe, error) {
	api, err := c.apiClient()
	if err != nil {
		return nil, err
	}
	// The controller manager and the scheduler make up a certificate at each
	// start; what is asked of them is no secret.
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

// hostSocket is the way to the node's containerd from outside the node.
func (c *cluster) hostSocket(initPID int) string {
	return fmt.Sprintf("/proc/%d/root%s", initPID, containerdSocket)
}

// apiReady is the supervisor's question, from inside the node.
func (c *cluster) apiReady(n network) func(context.Context) error {
	return func(ctx context.Context) error {
		api, err := c.apiClient()
		if err != nil {
			return err
		}
		return getOK(ctx, api, n.server()+"/readyz")
	}
}

// apiClient speaks to the API server as the cluster's administrator.
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

// client asks afresh each time, as its server may have been restarted,
// and never through a proxy, as the node is on this machine.
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
	// What is stored may be from before the kubelet was started again. The
	// API's times are in whole seconds.
	return readyCondition(body, c.recorded("kubelet").Started.Truncate(time.Second))
}

// readyCondition says why a node isn't ready, or wasn't heard of since.
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

package harness

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/elazarl/goproxy"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// PrivateCloud is an emulated AWS in a company's network: it can only be reached through an HTTP
// proxy, and a private CA has signed its certificate. Its address is from a network for
// documentation (RFC 5737), which is not routed.
type PrivateCloud struct {
	*WithT
	// Endpoint is the address of AWS, and Proxy that of the proxy.
	Endpoint, Proxy string
	// CAFile has the CA's certificate.
	CAFile string
	// Objects is a client of S3 without the proxy.
	Objects *s3.Client

	t       *testing.T
	mu      sync.Mutex
	tunnels []string
}

const privateAddress = "192.0.2.10"

// NewPrivateCloud returns a PrivateCloud with a bucket "artifacts". If password is not empty, the
// proxy requires it, with the user "team".
func NewPrivateCloud(t *testing.T, password string) *PrivateCloud {
	c := &PrivateCloud{WithT: NewWithT(t), t: t, Endpoint: "https://" + privateAddress}
	cloud := emulator.StartT(t, emulator.Options{Buckets: []string{"artifacts"}})
	c.Objects = s3.NewFromConfig(cloud.AWSConfig(), func(o *s3.Options) { o.UsePathStyle = true })
	front := c.front(t, cloud.URL())
	proxy := goproxy.NewProxyHttpServer()
	proxy.Tr = &http.Transport{}
	proxy.ConnectDial = func(network, _ string) (net.Conn, error) { return net.Dial(network, front) }
	proxy.OnRequest().HandleConnectFunc(func(host string, context *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		if user, given, _ := basicAuth(context.Req); password != "" && (user != "team" || given != password) {
			return goproxy.RejectConnect, host
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tunnels = append(c.tunnels, host)
		return goproxy.OkConnect, host
	})
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	c.Proxy = server.URL
	if password != "" {
		address, err := url.Parse(server.URL)
		c.Expect(err).NotTo(HaveOccurred())
		address.User = url.UserPassword("team", password)
		c.Proxy = address.String()
	}
	return c
}

func basicAuth(r *http.Request) (user, password string, ok bool) {
	return (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
}

// Tunnels returns the hosts to which the proxy has opened connections.
func (c *PrivateCloud) Tunnels() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.tunnels...)
}

// Put stores an object.
func (c *PrivateCloud) Put(key string, content []byte) {
	_, err := c.Objects.PutObject(c.t.Context(), &s3.PutObjectInput{Bucket: aws.String("artifacts"), Key: aws.String(key), Body: bytes.NewReader(content)})
	c.Expect(err).NotTo(HaveOccurred())
}

// front serves an emulator with TLS, and returns the address.
func (c *PrivateCloud) front(t *testing.T, backend string) string {
	target, err := url.Parse(backend)
	c.Expect(err).NotTo(HaveOccurred())
	server := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // the host is signed
	}})
	server.TLS = &tls.Config{Certificates: []tls.Certificate{c.certificate(t)}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// certificate returns a certificate for privateAddress, signed by a new CA, whose certificate it
// writes to CAFile.
func (c *PrivateCloud) certificate(t *testing.T) tls.Certificate {
	caKey, key := c.key(), c.key()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a company's CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	c.Expect(err).NotTo(HaveOccurred())
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.ParseIP(privateAddress)},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	c.Expect(err).NotTo(HaveOccurred())
	c.CAFile = filepath.Join(t.TempDir(), "ca.crt")
	c.Expect(os.WriteFile(c.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600)).To(Succeed())
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (c *PrivateCloud) key() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.Expect(err).NotTo(HaveOccurred())
	return key
}

// Size returns the size of an object, in bytes.
func (c *PrivateCloud) Size(key string) int64 {
	found, err := c.Objects.HeadObject(c.t.Context(), &s3.HeadObjectInput{Bucket: aws.String("artifacts"), Key: aws.String(key)})
	c.Expect(err).NotTo(HaveOccurred())
	return aws.ToInt64(found.ContentLength)
}

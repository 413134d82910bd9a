package integration

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
)

// metricsReader is the role for scraping metrics.
const metricsReader = "../../config/rbac/metrics_reader_role.yaml"

// serveMetrics starts the operator's metrics server as a user, and returns its address.
func (w *world) serveMetrics(user *rest.Config, o operator.MetricsOptions) (address string) {
	w.T.Helper()
	o.Address = "127.0.0.1:0"
	w.Expect(o.Check()).To(Succeed())
	calls, err := rest.HTTPClientFor(user)
	w.Expect(err).NotTo(HaveOccurred())
	server, err := metricsserver.NewServer(o.Server(), user, calls)
	w.Expect(err).NotTo(HaveOccurred())
	go func() { _ = server.Start(w.Ctx) }() // until the test ends
	listens := server.(interface{ GetBindAddr() string })
	w.Await(func(g Gomega) { g.Expect(listens.GetBindAddr()).NotTo(BeEmpty()) })
	return listens.GetBindAddr()
}

// answer has the status code and the major HTTP version of a response.
type answer struct{ status, protocol int }

// get makes a request over TLS. trusted has the trusted certificates. Nil means to trust any.
func (w *world) get(address, path, token string, trusted *x509.CertPool) (answer, error) {
	request, err := http.NewRequestWithContext(w.Ctx, http.MethodGet, "https://"+address+path, nil)
	w.Expect(err).NotTo(HaveOccurred())
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		RootCAs: trusted, InsecureSkipVerify: trusted == nil, //nolint:gosec // the certificate is self-signed
	}}}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	w.Expect(response.Body.Close()).To(Succeed())
	return answer{response.StatusCode, response.ProtoMajor}, err
}

func (w *world) status(g Gomega, address, path, token string) int {
	response, err := w.get(address, path, token, nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(response.protocol).To(Equal(1), "HTTP/2 is off")
	return response.status
}

// TestMetricsAreForThoseWithTheRight: the operator's rights in config/namespaced suffice to check
// callers.
func TestMetricsAreForThoseWithTheRight(t *testing.T) {
	w := newWorld(t)
	user, tenant, prometheus := w.user("operator"), w.user("tenant"), w.user("prometheus")
	w.allow(user, w.rulesOf(scopedClusterRole))
	w.allow(prometheus, w.rulesOf(metricsReader))
	address := w.serveMetrics(w.withToken(user), operator.MetricsOptions{Secure: true, Profiles: true})
	reader := w.token(prometheus)
	w.Await(func(g Gomega) { g.Expect(w.status(g, address, "/metrics", reader)).To(Equal(http.StatusOK)) })
	for name, c := range map[string]struct {
		path, token string
		status      int
	}{
		"nobody":                        {"/metrics", "", http.StatusUnauthorized},
		"a token that is none":          {"/metrics", "guessed", http.StatusInternalServerError}, // as in controller-runtime
		"a tenant":                      {"/metrics", w.token(tenant), http.StatusForbidden},
		"profiles for nobody":           {"/debug/pprof/heap", "", http.StatusUnauthorized},
		"profiles for who has metrics":  {"/debug/pprof/heap", reader, http.StatusForbidden},
		"the command line, for readers": {"/debug/pprof/cmdline", reader, http.StatusForbidden},
	} {
		w.Expect(w.status(w, address, c.path, c.token)).To(Equal(c.status), name)
	}
	response, err := http.Get("http://" + address + "/metrics") //nolint:noctx // the test's own server
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(response.Body.Close()).To(Succeed())
	w.Expect(response.StatusCode).To(Equal(http.StatusBadRequest), "without TLS")
}

// TestTokensAreNotLogged uses callers with and without the right, and an operator that may not
// check them.
func TestTokensAreNotLogged(t *testing.T) {
	w := newWorld(t)
	user, powerless, caller := w.user("operator"), w.user("powerless"), w.user("caller")
	w.allow(user, w.rulesOf(scopedClusterRole))
	token := w.token(caller)
	var log bytes.Buffer
	logger := funcr.New(func(_, args string) { log.WriteString(args + "\n") }, funcr.Options{Verbosity: 10})
	const guessed = "guessed-by-somebody"
	ask := func(g Gomega, config *rest.Config, token string) int {
		calls, err := rest.HTTPClientFor(config)
		g.Expect(err).NotTo(HaveOccurred())
		filter, err := operator.MetricsOptions{Address: ":0", Secure: true}.Server().FilterProvider(config, calls)
		g.Expect(err).NotTo(HaveOccurred())
		handler, err := filter(logger, http.NotFoundHandler())
		g.Expect(err).NotTo(HaveOccurred())
		request := httptest.NewRequestWithContext(w.Ctx, http.MethodGet, "/metrics", nil)
		request.Header.Set("Authorization", "Bearer "+token)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		g.Expect(answer.Body.String()).NotTo(ContainSubstring(token))
		return answer.Code
	}
	allowed := w.withToken(user)
	w.Await(func(g Gomega) { g.Expect(ask(g, allowed, token)).To(Equal(http.StatusForbidden)) })
	w.Expect(ask(w, allowed, guessed)).To(Equal(http.StatusInternalServerError))
	w.Expect(ask(w, w.withToken(powerless), token)).To(Equal(http.StatusInternalServerError))
	w.Expect(log.String()).To(And(ContainSubstring("Authorization denied"), ContainSubstring("Authentication failed")))
	w.Expect(log.String()).NotTo(Or(ContainSubstring(token), ContainSubstring(guessed)))
}

// TestCertificateOfMetrics uses a certificate of a CA that the caller trusts.
func TestCertificateOfMetrics(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	trusted := x509.NewCertPool()
	trusted.AddCert(w.certificate(folder))
	address := w.serveMetrics(w.withToken(w.user("operator")), operator.MetricsOptions{Secure: true, CertDir: folder, CertName: "cert.pem", KeyName: "key.pem"})
	response, err := w.get(address, "/metrics", "", trusted)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(response.status).To(Equal(http.StatusUnauthorized))

	selfSigned := w.serveMetrics(w.withToken(w.user("other")), operator.MetricsOptions{Secure: true})
	_, err = w.get(selfSigned, "/metrics", "", trusted)
	w.Expect(err).To(MatchError(ContainSubstring("certificate signed by unknown authority")))
}

// certificate writes a certificate for 127.0.0.1 and its key into a folder.
func (w *world) certificate(folder string) *x509.Certificate {
	w.T.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	w.Expect(err).NotTo(HaveOccurred())
	private, err := x509.MarshalPKCS8PrivateKey(key)
	w.Expect(err).NotTo(HaveOccurred())
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: raw}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		w.Expect(os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600)).To(Succeed())
	}
	parsed, err := x509.ParseCertificate(raw)
	w.Expect(err).NotTo(HaveOccurred())
	return parsed
}

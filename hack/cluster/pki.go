package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"time"
)

// A certificate of the cluster. Kubernetes takes the user from the common name and the groups from
// the organization.
type certificate struct {
	file   string
	user   string
	group  string
	names  []string
	ips    []netip.Addr
	server bool
}

func (c *cluster) certificates(n network) []certificate {
	return []certificate{
		{file: "apiserver", user: "kube-apiserver", server: true,
			names: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
			ips:   []netip.Addr{n.node(), n.apiService(), netip.MustParseAddr("127.0.0.1")}},
		{file: "kubelet-serving", user: "system:node:" + c.nodeName(), group: "system:nodes", server: true,
			names: []string{c.nodeName()}, ips: []netip.Addr{n.node()}},
		{file: "apiserver-kubelet", user: "kube-apiserver-kubelet-client", group: "system:masters"},
		{file: "admin", user: "cluster-admin", group: "system:masters"},
		{file: "kubelet", user: "system:node:" + c.nodeName(), group: "system:nodes"},
		{file: "kube-controller-manager", user: "system:kube-controller-manager"},
		{file: "kube-scheduler", user: "system:kube-scheduler"},
		{file: "kube-proxy", user: "system:kube-proxy"},
	}
}

// Longer than any local cluster is used.
const certificateLife = 5 * 365 * 24 * time.Hour

// ensurePKI creates the cluster's certificates once. The authority's own is written last, so its
// presence means that the set is complete.
func (c *cluster) ensurePKI(n network) error {
	if err := c.frontProxyAuthority(); err != nil {
		return err
	}
	if _, err := os.Stat(c.pki("ca.crt")); err == nil {
		return nil
	}
	ca, key, err := newAuthority(c.id())
	if err != nil {
		return err
	}
	for _, want := range c.certificates(n) {
		if err := c.issue(want, ca, key); err != nil {
			return fmt.Errorf("certificate %s: %w", want.file, err)
		}
	}
	if err := c.serviceAccountKeys(); err != nil {
		return err
	}
	if err := writeKey(c.pki("ca.key"), key); err != nil {
		return err
	}
	return writePEM(c.pki("ca.crt"), "CERTIFICATE", ca.Raw, 0o644)
}

// frontProxyAuthority creates the authority that aggregated API servers trust. There are none, so
// its key signs nothing, but components log errors without the certificate.
func (c *cluster) frontProxyAuthority() error {
	if _, err := os.Stat(c.pki("front-proxy-ca.crt")); err == nil {
		return nil
	}
	ca, _, err := newAuthority(c.id() + "-front-proxy")
	if err != nil {
		return err
	}
	return writePEM(c.pki("front-proxy-ca.crt"), "CERTIFICATE", ca.Raw, 0o644)
}

func newAuthority(name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template, err := baseTemplate(pkix.Name{CommonName: name + "-ca"})
	if err != nil {
		return nil, nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	ca, err := x509.ParseCertificate(der)
	return ca, key, err
}

func (c *cluster) issue(want certificate, ca *x509.Certificate, caKey *ecdsa.PrivateKey) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	subject := pkix.Name{CommonName: want.user}
	if want.group != "" {
		subject.Organization = []string{want.group}
	}
	template, err := baseTemplate(subject)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if want.server {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	template.DNSNames = want.names
	for _, ip := range want.ips {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	if err := writeKey(c.pki(want.file+".key"), key); err != nil {
		return err
	}
	return writePEM(c.pki(want.file+".crt"), "CERTIFICATE", der, 0o644)
}

func baseTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		// Backdated, because the clocks of a machine and its guests may differ.
		NotBefore: now.Add(-5 * time.Minute),
		NotAfter:  now.Add(certificateLife),
	}, nil
}

// serviceAccountKeys creates the key pair that signs and verifies service account tokens.
func (c *cluster) serviceAccountKeys() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(c.pki("sa.pub"), "PUBLIC KEY", public, 0o644); err != nil {
		return err
	}
	return writeKey(c.pki("sa.key"), key)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "EC PRIVATE KEY", der, 0o600)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

//go:build bench

package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// writeCertificate creates a self-signed certificate, for a program that does not start without
// one. It keeps existing files. When the test ends, it deletes the files and folders that it
// created.
func writeCertificate(t *testing.T, folder string) {
	g := NewWithT(t)
	certificate, key := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	if _, err := os.Stat(certificate); err == nil {
		return
	}
	makeFolder(t, folder)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	g.Expect(err).NotTo(HaveOccurred())
	encoded, err := x509.MarshalECPrivateKey(private)
	g.Expect(err).NotTo(HaveOccurred())
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "EC PRIVATE KEY", Bytes: encoded}} {
		g.Expect(os.WriteFile(file, pem.EncodeToMemory(block), 0o600)).To(Succeed())
		t.Cleanup(func() { g.Expect(os.Remove(file)).To(Succeed()) })
	}
}

func makeFolder(t *testing.T, folder string) {
	g := NewWithT(t)
	if _, err := os.Stat(folder); err == nil {
		return
	}
	makeFolder(t, filepath.Dir(folder))
	g.Expect(os.Mkdir(folder, 0o750)).To(Succeed(), "Kueue needs a certificate there: run the test as root")
	t.Cleanup(func() { g.Expect(os.Remove(folder)).To(Succeed()) })
}

package natsconn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/natsconn"
)

// authority signs certificates and keeps its files in one directory.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", nil)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue makes name.pem and name.key; signed by itself where parent is nil.
func (a *authority) issue(t *testing.T, name string, parent *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer, signerKey := template, key
	if parent != nil {
		signer, signerKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signerKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(a.file(name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func TestConnectWithTLS(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	ours.issue(t, "server", ours)
	s := natstest.RunWith(t, embednats.Options{TLS: &embednats.TLS{Cert: ours.file("server.pem"), Key: ours.file("server.key")}})
	servers := []string{s.ClientURL()}

	nc := connect(t, natsconn.Options{Servers: servers, CA: ours.file("ca.pem")})
	if _, err := nc.TLSConnectionState(); err != nil {
		t.Errorf("the connection is not TLS: %v", err)
	}
	refused(t, natsconn.Options{Servers: servers, CA: theirs.file("ca.pem")}, natsconn.ErrTLS, "certificate")
	refused(t, natsconn.Options{Servers: servers}, natsconn.ErrTLS, "certificate")
	plain := natstest.Run(t)
	refused(t, natsconn.Options{Servers: []string{plain.ClientURL()}, CA: ours.file("ca.pem")}, natsconn.ErrTLS, "secure connection")
}

func TestConnectWithAClientCertificate(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t)
	ours.issue(t, "server", ours)
	ours.issue(t, "client", ours)
	s := natstest.RunWith(t, embednats.Options{TLS: &embednats.TLS{
		Cert: ours.file("server.pem"), Key: ours.file("server.key"), ClientCA: ours.file("ca.pem"),
	}})
	o := natsconn.Options{Servers: []string{s.ClientURL()}, CA: ours.file("ca.pem"), Cert: ours.file("client.pem"), Key: ours.file("client.key")}
	connect(t, o)
	o.Cert, o.Key = "", ""
	refused(t, o, natsconn.ErrTLS)
}

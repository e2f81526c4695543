package embednats

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/nats-io/nats-server/v2/server"
)

// User may connect, with an NKey or with a name and a password.
type User struct {
	// NKey is the public key, U….
	NKey string
	// Name and Password count where NKey is empty.
	Name     string
	Password string
	// Publish and Subscribe limit what the user may do; nil is no limit.
	Publish   *Permission
	Subscribe *Permission
}

// Permission is a list of allowed and one of denied subjects; wildcards count.
// Where Allow is empty, everything but Deny is allowed.
type Permission struct {
	Allow []string
	Deny  []string
}

// TLS are the server's files.
type TLS struct {
	Cert string
	Key  string
	// ClientCA, where it is set, has clients show a certificate that it signed.
	ClientCA string
}

func (u User) addTo(o *server.Options) {
	permissions := &server.Permissions{Publish: u.Publish.server(), Subscribe: u.Subscribe.server()}
	if u.NKey != "" {
		o.Nkeys = append(o.Nkeys, &server.NkeyUser{Nkey: u.NKey, Permissions: permissions})
		return
	}
	o.Users = append(o.Users, &server.User{Username: u.Name, Password: u.Password, Permissions: permissions})
}

func (p *Permission) server() *server.SubjectPermission {
	if p == nil {
		return nil
	}
	return &server.SubjectPermission{Allow: p.Allow, Deny: p.Deny}
}

func (t TLS) config() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("load certificate: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if t.ClientCA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(t.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read client CA: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read client CA %s: no certificate in it", t.ClientCA)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config, nil
}

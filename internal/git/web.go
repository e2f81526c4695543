package git

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"
	"time"
)

// trust returns the certificates that our own requests trust, so that they
// agree with git's: the machine's and those of GIT_SSL_CAINFO. It is nil, the
// machine's alone, where that file is not there; git says so itself.
func trust(inherited []string) *tls.Config {
	for _, pair := range inherited {
		file, named := strings.CutPrefix(pair, "GIT_SSL_CAINFO=")
		if !named {
			continue
		}
		certificates, err := os.ReadFile(file)
		pool, poolErr := x509.SystemCertPool()
		if err != nil || poolErr != nil {
			return nil
		}
		pool.AppendCertsFromPEM(certificates)
		return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return nil
}

// newWebClient returns the client that asks a provider what git could not tell.
// It follows no redirect and keeps no connection.
func newWebClient(timeout time.Duration, trusted *tls.Config) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSClientConfig: trusted},
		CheckRedirect: notFollowed,
		Timeout:       timeout,
	}
}

// newStoreClient returns the client that fetches LFS objects. Redirects are
// followed by hand, because headers must stay behind.
func newStoreClient(timeout time.Duration, trusted *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: trusted, DisableCompression: true,
			ResponseHeaderTimeout: timeout, TLSHandshakeTimeout: timeout, IdleConnTimeout: timeout,
		},
		CheckRedirect: notFollowed,
	}
}

func notFollowed(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

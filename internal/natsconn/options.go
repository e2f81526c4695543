package natsconn

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// The inboxes are where answers come back to: each is allowed by a permission for
// _INBOX.>, which old credentials have, and by a narrower one. They differ because
// a worker fetches tasks into its inbox, tokens and all: who submits tasks, or
// looks at them, must not be permitted to hear those of others. With a prefix of
// subjects each has another name (queue.Topology.Inbox).
const (
	WorkerInbox   = "_INBOX.dispatchd"
	SubmitInbox   = "_INBOX.submit"
	OperatorInbox = "_INBOX.operator"
)

const (
	// attemptTimeout limits one try at one server, at start and at a reconnect.
	attemptTimeout = 2 * time.Second
	// defaultConnectTimeout holds where the options name none.
	defaultConnectTimeout = 10 * time.Second
	// A silent connection is given up after pingInterval × (maxPings + 1).
	// That is 9 s: sooner than leases end, so that a worker whose server hangs
	// finds another one in time.
	pingInterval = 3 * time.Second
	maxPings     = 2
)

// Options describe a connection. Only Servers is required.
type Options struct {
	// Servers are URLs; one that answers is enough.
	Servers []string
	// Seed is an NKey user seed (SU…). Empty means no key.
	Seed string
	// Creds, CA, Cert and Key are files: NATS credentials instead of a seed, the
	// CA of the servers' certificates, our own certificate and its key.
	Creds string
	CA    string
	Cert  string
	Key   string
	// Name is what the server's monitoring calls us.
	Name string
	// Inbox is the prefix of the subjects that answers come back to; empty is
	// WorkerInbox.
	Inbox string
	// ConnectTimeout limits Connect; zero means 10 s.
	ConnectTimeout time.Duration

	// OnDisconnect and OnReconnect are called when the connection is lost (not
	// when it is closed) and when it is back. OnError takes what happens beside
	// any call: a *PermissionError, a refused reconnect, a slow consumer. They are
	// called one at a time and must not block. Each may be nil.
	OnDisconnect func(error)
	OnReconnect  func()
	OnError      func(error)
}

// natsOptions checks the options and puts them into the client's form.
func (o Options) natsOptions(timeout time.Duration) ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name(o.Name),
		nats.CustomInboxPrefix(cmp.Or(o.Inbox, WorkerInbox)),
		nats.Timeout(min(attemptTimeout, timeout)),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(maxPings),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(delay),
		// A server that refuses us after a restart may accept us after the next one.
		nats.IgnoreAuthErrorAbort(),
		// A publish that failed while we were away must not be sent later on.
		nats.ReconnectBufSize(-1),
		nats.PermissionErrOnSubscribe(true),
	}
	opts = append(opts, o.handlers()...)
	auth, err := o.auth()
	if err != nil {
		return nil, err
	}
	secure, err := o.tls()
	return append(append(opts, auth...), secure...), err
}

func (o Options) handlers() []nats.Option {
	return []nats.Option{
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if o.OnDisconnect != nil && !nc.IsClosed() {
				o.OnDisconnect(err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			if o.OnReconnect != nil {
				o.OnReconnect()
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if o.OnError != nil {
				o.OnError(named(err))
			}
		}),
	}
}

func (o Options) auth() ([]nats.Option, error) {
	if o.Seed != "" {
		return seedAuth(o.Seed)
	}
	if o.Creds == "" {
		return nil, nil
	}
	text, err := os.ReadFile(o.Creds)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	if _, err := nkeys.ParseDecoratedUserNKey(text); err != nil {
		return nil, fmt.Errorf("%w: failed to parse %s: %w", ErrCredentials, o.Creds, err)
	}
	return []nats.Option{nats.UserCredentials(o.Creds)}, nil
}

// seedAuth never shows the seed, not even a part of it.
func seedAuth(seed string) ([]nats.Option, error) {
	prefix, _, err := nkeys.DecodeSeed([]byte(seed))
	if err != nil || prefix != nkeys.PrefixByteUser {
		return nil, fmt.Errorf("%w: failed to parse NATS_CLIENT_PRIVATE_KEY: not an NKey user seed (SU…)", ErrCredentials)
	}
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return nil, fmt.Errorf("%w: failed to parse NATS_CLIENT_PRIVATE_KEY: %w", ErrCredentials, err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("%w: failed to parse NATS_CLIENT_PRIVATE_KEY: %w", ErrCredentials, err)
	}
	return []nats.Option{nats.Nkey(public, pair.Sign)}, nil
}

// tls reads the files once to name what is wrong with them; the client reads
// them again at each reconnect, so that they may be renewed.
func (o Options) tls() ([]nats.Option, error) {
	var opts []nats.Option
	if o.CA != "" {
		text, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTLS, err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%w: no CA certificate in %s", ErrTLS, o.CA)
		}
		opts = append(opts, nats.RootCAs(o.CA))
	}
	if o.Cert != "" {
		if _, err := tls.LoadX509KeyPair(o.Cert, o.Key); err != nil {
			return nil, fmt.Errorf("%w: certificate %s with key %s: %w", ErrTLS, o.Cert, o.Key, err)
		}
		opts = append(opts, nats.ClientCert(o.Cert, o.Key))
	}
	return opts, nil
}

// servers returns the URLs as the client takes them, and the hosts for error
// messages: a URL may hold a password.
func (o Options) servers() (list string, hosts string, err error) {
	var urls, names []string
	for i, s := range o.Servers {
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			return "", "", fmt.Errorf("%w: entry %d of NATS_SERVERS is no URL such as nats://host:4222", ErrNoServers, i+1)
		}
		urls, names = append(urls, s), append(names, u.Host)
	}
	if len(urls) == 0 {
		return "", "", fmt.Errorf("%w: NATS_SERVERS is not set", ErrNoServers)
	}
	return strings.Join(urls, ","), strings.Join(names, ", "), nil
}

package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/natsconn"
	"github.com/dispatchd/dispatchd/internal/queue"
)

// NATS looks at the one connection that everything goes over.
type NATS struct {
	// Connection says how to connect; its OnError is replaced.
	Connection natsconn.Options
	Topology   queue.Topology
	// Legacy are the status subjects that the backend's streams must cover, and
	// Logs where its build logs go, with a "*" for the id.
	Legacy []string
	Logs   []string
}

const (
	// connectLimit is how long the connection may take, answerLimit one request.
	connectLimit = 3 * time.Second
	answerLimit  = 2 * time.Second
	// mostSkew is how far our clock may be from the server's.
	mostSkew = 2 * time.Second
)

// server is a connection and what the server refuses us on it.
type server struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	denied *denials
}

// Check connects and looks at JetStream, our streams, our rights, the backend's
// streams and the clock.
func (n NATS) Check(ctx context.Context) []Result {
	s, result := n.connect(ctx)
	if s == nil {
		return []Result{result}
	}
	defer s.nc.Close()
	results := []Result{result}
	jet := s.jetStream(ctx)
	results = append(results, jet)
	if jet.Status == Fail {
		return results
	}
	missing, streams := n.streams(ctx, s)
	results = append(results, streams...)
	results = append(results, n.rights(ctx, s, missing)...)
	results = append(results, n.covered(ctx, s)...)
	return append(results, s.clock(ctx, n.Topology))
}

func (n NATS) connect(ctx context.Context) (*server, Result) {
	o := n.Connection
	o.Inbox = n.Topology.Inbox(natsconn.WorkerInbox)
	if o.ConnectTimeout <= 0 || o.ConnectTimeout > connectLimit {
		o.ConnectTimeout = connectLimit
	}
	s := &server{denied: newDenials()}
	o.OnError = s.denied.note
	tried := "connect to NATS"
	nc, err := natsconn.Connect(ctx, o)
	if err != nil {
		return nil, bad(Fail, tried, strings.TrimPrefix(err.Error(), "failed to initialize NATS: "), connectRemedy(err))
	}
	tried += " at " + hostOf(nc.ConnectedUrl())
	s.nc = nc
	if s.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(answerLimit)); err != nil {
		nc.Close()
		return nil, bad(Fail, tried, err.Error(), remedy{"NATS_SERVERS", "see why JetStream cannot be used"})
	}
	text := nc.ConnectedServerVersion()
	v, ok := parseVersion(text)
	least, _ := parseVersion(queue.ServerFloor)
	if ok && v.less(least) {
		return s, bad(Fail, tried, fmt.Sprintf("version %s is below %s", v, least), remedy{"NATS_SERVERS", "upgrade the server"})
	}
	return s, good(tried, "version %s", text)
}

// hostOf is a URL without what may be secret in it.
func hostOf(address string) string {
	_, host, _ := strings.Cut(address, "://")
	return host[strings.LastIndexByte(host, '@')+1:]
}

func connectRemedy(err error) remedy {
	switch {
	case errors.Is(err, natsconn.ErrNoServers):
		return remedy{"NATS_SERVERS", "name the servers, such as nats://127.0.0.1:4222"}
	case errors.Is(err, natsconn.ErrCredentials):
		return remedy{"NATS_CLIENT_PRIVATE_KEY", "set an NKey user seed (SU…), or the file in DISPATCHD_NATS_CREDS"}
	case errors.Is(err, natsconn.ErrUnauthorized):
		return remedy{"NATS_CLIENT_PRIVATE_KEY", "set the key of a user that the server knows, or DISPATCHD_NATS_CREDS"}
	case errors.Is(err, natsconn.ErrTLS):
		return remedy{"DISPATCHD_NATS_CA", "name the CA of the server's certificate, and DISPATCHD_NATS_CERT and DISPATCHD_NATS_KEY where it wants ours"}
	}
	return remedy{"NATS_SERVERS", "start the server, or correct its address"}
}

// jetStream asks for the account, as the probe of a running worker does.
func (s *server) jetStream(ctx context.Context) Result {
	const tried = "ask for JetStream"
	err := s.denied.orDenied(ctx, func(ctx context.Context) error {
		_, err := s.js.AccountInfo(ctx)
		return err
	})
	var denied *natsconn.PermissionError
	switch {
	case err == nil:
		return good(tried, "it is on")
	case errors.As(err, &denied) && denied.Operation == natsconn.OpSubscribe:
		return bad(Fail, tried, denied.Error(), remedy{"the NATS user's permissions", "allow it to subscribe to " + denied.Subject + ": answers come there"})
	case errors.As(err, &denied):
		return bad(Warn, tried, denied.Error(), remedy{"the NATS user's permissions", "allow it to publish " + denied.Subject + ": /readyz asks there"})
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return bad(Fail, tried, "it is not enabled for this account", remedy{"jetstream in the server's configuration", "enable it, and for the account"})
	}
	return bad(Fail, tried, err.Error(), remedy{"NATS_SERVERS", "see whether the cluster has a leader"})
}

// streams looks at what is ours, and says whether anything of it is missing.
func (n NATS) streams(ctx context.Context, s *server) (missing bool, results []Result) {
	const tried = "look at our streams and our consumer"
	var absent, there []string
	var found []queue.Found
	err := s.denied.orDenied(ctx, func(ctx context.Context) error {
		found = queue.Inspect(ctx, s.js, n.Topology)
		return nil
	})
	if err != nil {
		return false, []Result{bad(Fail, tried, err.Error(), remedy{"the NATS user's permissions", "allow it to publish what the server refused"})}
	}
	for _, f := range found {
		switch {
		case f.Missing:
			absent = append(absent, f.Name)
		case f.Err != nil:
			results = append(results, bad(Fail, tried, f.Err.Error(), remedy{f.Name, "change or delete it; `dispatchd run` makes it anew"}))
		default:
			there = append(there, f.Name)
		}
	}
	if len(absent) > 0 {
		results = append(results, good(tried, "%s missing; `dispatchd run` makes what is missing", strings.Join(absent, ", ")))
	} else if results == nil {
		results = append(results, good(tried, "%d fit", len(there)))
	}
	return len(absent) > 0, results
}

// covered looks for the backend's streams, and says what holds for their events.
func (n NATS) covered(ctx context.Context, s *server) []Result {
	const tried = "look for the streams of the status subjects"
	byStream := map[string][]string{}
	var uncovered []string
	for _, subject := range n.Legacy {
		name, err := s.streamOf(ctx, subject)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			uncovered = append(uncovered, subject)
		case err != nil:
			return []Result{bad(Fail, tried, err.Error(), remedy{"the NATS user's permissions", "allow it to publish $JS.API.STREAM.NAMES"})}
		default:
			byStream[name] = append(byStream[name], subject)
		}
	}
	var results []Result
	if len(uncovered) > 0 {
		results = append(results, bad(Fail, tried, "none covers "+strings.Join(uncovered, ", "),
			remedy{"NATS_STREAM_PREFIX", "create one on the NATS server (it is the backend's, so dispatchd does not), or correct the prefix"}))
	}
	for name, subjects := range byStream {
		results = append(results, s.guarantee(ctx, name, subjects[0]))
	}
	return results
}

func (s *server) streamOf(ctx context.Context, subject string) (name string, err error) {
	err = s.denied.orDenied(ctx, func(ctx context.Context) error {
		name, err = s.js.StreamNameBySubject(ctx, subject)
		return err
	})
	return name, err
}

// guarantee says how single an event is in a stream of the backend's: the
// server itself drops one that it has seen, for as long as it remembers.
func (s *server) guarantee(ctx context.Context, name, subject string) Result {
	tried := "look at the backend's stream " + name
	var config jetstream.StreamConfig
	err := s.denied.orDenied(ctx, func(ctx context.Context) error {
		stream, err := s.js.Stream(ctx, name)
		if err == nil {
			config = stream.CachedInfo().Config
		}
		return err
	})
	to := remedy{"stream " + name, "use limits retention without a limit of messages per subject, so that readers can tell what they have"}
	switch {
	case err != nil:
		return bad(Fail, tried, "it covers the status subjects, but cannot be read: "+err.Error(),
			remedy{"the NATS user's permissions", "allow it to publish $JS.API.STREAM.INFO." + name})
	case config.SubjectTransform != nil:
		return bad(Warn, tried, "it renames subjects: events are stored under other names", to)
	case config.Retention != jetstream.LimitsPolicy || config.MaxMsgsPerSubject > 0:
		return bad(Warn, tried, fmt.Sprintf("messages vanish from it (%s retention, at most %d of a subject): events are delivered at least once, with the same Nats-Msg-Id", strings.ToLower(config.Retention.String()), config.MaxMsgsPerSubject), to)
	}
	if err := s.readsLeader(ctx, name, subject); err != nil {
		return bad(Fail, tried, "its messages cannot be read: "+err.Error(),
			remedy{"the NATS user's permissions", "allow it to publish $JS.API.STREAM.MSG.GET." + name + ": workers see there what was told"})
	}
	return good(tried, "it keeps what it gets: each event stands there once")
}

// readsLeader asks a stream's leader for a message, as workers do. That there is
// none is an answer, too.
func (s *server) readsLeader(ctx context.Context, stream, subject string) error {
	request, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return err
	}
	return s.denied.orDenied(ctx, func(ctx context.Context) error {
		_, err := s.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, request)
		return err
	})
}

// clock compares our clock with the one that the server writes on its answers.
func (s *server) clock(ctx context.Context, t queue.Topology) Result {
	const tried = "compare our clock with the server's"
	before := time.Now()
	var stamp time.Time
	err := s.denied.orDenied(ctx, func(ctx context.Context) error {
		stream, err := s.js.Stream(ctx, t.Events())
		if err == nil {
			stamp = stream.CachedInfo().TimeStamp
		}
		return err
	})
	if err != nil || stamp.IsZero() {
		return good(tried, "not possible before `dispatchd run` has made its streams")
	}
	skew := stamp.Sub(before.Add(time.Since(before) / 2)).Round(time.Millisecond)
	if skew.Abs() > mostSkew {
		return bad(Warn, tried, fmt.Sprintf("they differ by %s: waiting times and ages in metrics are off by that", skew.Abs()),
			remedy{"the clock of this machine or the server's", "synchronise it"})
	}
	return good(tried, "they differ by %s", skew.Abs())
}

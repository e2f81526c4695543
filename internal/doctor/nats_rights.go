package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/internal/natsconn"
)

// denials hears which subjects the server refuses us: a forbidden request is
// otherwise only a time-out.
type denials struct {
	mu sync.Mutex
	// all are the subjects, each with what was refused there.
	all  map[string]string
	news chan *natsconn.PermissionError
}

func newDenials() *denials {
	return &denials{all: map[string]string{}, news: make(chan *natsconn.PermissionError, 256)}
}

// note is told of errors beside any call; it never blocks.
func (d *denials) note(err error) {
	var denied *natsconn.PermissionError
	if !errors.As(err, &denied) {
		return
	}
	d.mu.Lock()
	d.all[denied.Subject] = denied.Operation
	d.mu.Unlock()
	select {
	case d.news <- denied:
	default:
	}
}

// orDenied calls do and ends it as soon as the server refuses a subject. One
// caller at a time.
func (d *denials) orDenied(ctx context.Context, do func(context.Context) error) error {
	d.forget()
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = do(ctx)
	}()
	select {
	case <-done:
		return err
	case denied := <-d.news:
		cancel()
		<-done
		return denied
	}
}

func (d *denials) has(subject string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, refused := d.all[subject]
	return refused
}

// forget drops what an earlier call was refused.
func (d *denials) forget() {
	for {
		select {
		case <-d.news: //nolint:errcheck // it is dropped, not read
		default:
			return
		}
	}
}

// permissions are what a server says of a user.
type permissions struct {
	Publish   rule `json:"publish"`
	Subscribe rule `json:"subscribe"`
}

// rule is a list of allowed and one of denied subjects; no list allows all.
type rule struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

// allows reports whether every subject of a pattern may be used.
func (r rule) allows(pattern string) bool {
	if slices.ContainsFunc(r.Deny, func(denied string) bool { return overlaps(denied, pattern) }) {
		return false
	}
	return len(r.Allow) == 0 || slices.ContainsFunc(r.Allow, func(allowed string) bool { return covers(allowed, pattern) })
}

// covers reports whether a subject with wildcards holds all of another's.
func covers(wide, narrow string) bool {
	w, n := strings.Split(wide, "."), strings.Split(narrow, ".")
	for i, token := range w {
		switch {
		case token == ">":
			return len(n) > i
		case i >= len(n) || n[i] == ">" || token != "*" && token != n[i]:
			return false
		}
	}
	return len(w) == len(n)
}

// overlaps reports whether two subjects with wildcards have a subject in common.
func overlaps(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		switch {
		case x[i] == ">" || y[i] == ">":
			return true
		case x[i] != y[i] && x[i] != "*" && y[i] != "*":
			return false
		}
	}
	return len(x) == len(y)
}

const userInfo = "$SYS.REQ.USER.INFO"

// rights compares what a worker needs with what the server says that we may,
// or, where it does not say, tries what can be tried without being heard.
func (n NATS) rights(ctx context.Context, s *server, missing bool) []Result {
	const tried = "compare the rights of our NATS user with what a worker needs"
	needs := append(n.Topology.Publishes(), n.Legacy...)
	needs = append(needs, n.Logs...)
	if missing {
		needs = append(needs, n.Topology.Creates()...)
	}
	held, known := s.permissions(ctx)
	if !known {
		return n.tryRights(ctx, s, needs)
	}
	var lacks []string
	for _, subject := range needs {
		if !held.Publish.allows(subject) {
			lacks = append(lacks, "publish "+subject)
		}
	}
	// Where answers come back to.
	if inbox := n.Topology.Inbox(natsconn.WorkerInbox) + ".>"; !held.Subscribe.allows(inbox) {
		lacks = append(lacks, "subscribe "+inbox)
	}
	return []Result{rightsResult(tried, fmt.Sprintf("all %d are there", len(needs)+1), lacks)}
}

func rightsResult(tried, all string, lacks []string) Result {
	if len(lacks) == 0 {
		return good(tried, "%s", all)
	}
	return bad(Fail, tried, "it may not "+strings.Join(lacks, ", "), remedy{"the NATS user's permissions", "allow these; * stands for an id"})
}

// permissions asks the server what our user may. It is not known where the
// server does not let us ask.
func (s *server) permissions(ctx context.Context) (p permissions, known bool) {
	var answer struct {
		Data struct {
			Permissions *permissions `json:"permissions"`
		} `json:"data"`
	}
	err := s.denied.orDenied(ctx, func(ctx context.Context) error {
		msg, err := s.nc.RequestWithContext(ctx, userInfo, nil)
		if err != nil {
			return err
		}
		return json.Unmarshal(msg.Data, &answer)
	})
	if err != nil {
		return p, false
	}
	if answer.Data.Permissions != nil {
		p = *answer.Data.Permissions
	}
	return p, true
}

// tryRights sends what the server answers with an error and stores nowhere, and
// sees which of it is refused for lack of a right. The backend's subjects are
// left out: whoever subscribes to them would hear it.
func (n NATS) tryRights(ctx context.Context, s *server, needs []string) []Result {
	const tried = "try the rights of our NATS user"
	heard := append(slices.Clone(n.Legacy), n.Logs...)
	tries := 0
	for _, subject := range needs {
		if slices.Contains(heard, subject) {
			continue
		}
		tries++
		msg := nats.NewMsg(strings.NewReplacer("*", probeToken, ">", probeToken).Replace(subject))
		// No stream has this name, so none stores it; no request has such a body.
		msg.Header.Set("Nats-Expected-Stream", probeToken)
		msg.Data = []byte("{")
		if err := s.nc.PublishMsg(msg); err != nil {
			return []Result{bad(Fail, tried, err.Error(), remedy{"NATS_SERVERS", "see why the connection is lost"})}
		}
	}
	lacks := s.refused(ctx)
	result := rightsResult(tried, fmt.Sprintf("the %d that nobody hears are there", tries), lacks)
	if result.Status == Fail {
		return []Result{result}
	}
	return []Result{result, bad(Warn, "read the rights of our NATS user", "the server does not say whether it may publish "+strings.Join(heard, ", "),
		remedy{"the NATS user's permissions", "allow it to publish " + userInfo + ", and doctor can tell"})}
}

// probeToken stands where an id would.
const probeToken = "dispatchd-doctor"

// refused returns which of the messages just sent were forbidden.
func (s *server) refused(ctx context.Context) []string {
	s.heardAll(ctx)
	s.denied.mu.Lock()
	defer s.denied.mu.Unlock()
	var lacks []string
	for subject, operation := range s.denied.all {
		if subject != userInfo {
			lacks = append(lacks, operation+" "+strings.ReplaceAll(subject, probeToken, "*"))
		}
	}
	slices.Sort(lacks)
	return lacks
}

// heardAll returns when every refusal of what was sent so far has reached us.
// They come in their order, so one that is sure to come marks the end.
func (s *server) heardAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	if !s.denied.has(userInfo) {
		// The server says so before it answers a ping; the client tells us a moment after.
		_ = s.nc.FlushWithContext(ctx)
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, 200*time.Millisecond)
		defer stop()
	} else if s.nc.Publish(userInfo, nil) != nil {
		return
	}
	for {
		select {
		case denied := <-s.denied.news:
			if denied.Subject == userInfo {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/queue"
)

// requestTimeout bounds one request: a node without a leader may never answer.
const requestTimeout = 5 * time.Second

// The server's codes for what is not there.
const (
	codeNoStream   = 10059
	codeNoConsumer = 10014
)

// leader asks the leaders of streams in the server's own format. The client
// library would ask any replica where a stream allows direct gets, and those may
// not have the last messages yet.
type leader struct{ nc *nats.Conn }

// message is one message as its stream's leader has it.
type message struct {
	Subject  string
	Sequence uint64
	Time     time.Time
	Header   nats.Header
	Data     []byte
}

// answer is what the server says, or why it does not.
type answer interface{ refusal() *jetstream.APIError }

// refused is part of every answer.
type refused struct {
	Error *jetstream.APIError `json:"error"`
}

func (r *refused) refusal() *jetstream.APIError { return r.Error }

type getRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
}

type getResponse struct {
	refused
	Message *struct {
		Subject  string    `json:"subject"`
		Sequence uint64    `json:"seq"`
		Header   []byte    `json:"hdrs"`
		Data     []byte    `json:"data"`
		Time     time.Time `json:"time"`
	} `json:"message"`
}

// get reads one message; nil where there is none, or a deleted key of a bucket.
func (l leader) get(ctx context.Context, stream string, request getRequest) (*message, error) {
	var response getResponse
	err := l.ask(ctx, "STREAM.MSG.GET."+stream, request, &response)
	if isCode(err, int(jetstream.JSErrCodeMessageNotFound)) {
		return nil, nil
	}
	if err != nil {
		return nil, explain(stream, err)
	}
	m := response.Message
	if m == nil {
		return nil, fmt.Errorf("read stream %s: the answer holds no message", stream)
	}
	read := &message{Subject: m.Subject, Sequence: m.Sequence, Time: m.Time, Data: m.Data}
	if len(m.Header) > 0 {
		if read.Header, err = nats.DecodeHeadersMsg(m.Header); err != nil {
			return nil, fmt.Errorf("read the headers of message %d of stream %s: %w", m.Sequence, stream, err)
		}
	}
	if request.LastFor != "" && queue.IsMarker(read.Header) {
		return nil, nil // the marker of a key that somebody has deleted
	}
	return read, nil
}

// last returns the newest message of a subject.
func (l leader) last(ctx context.Context, stream, subject string) (*message, error) {
	return l.get(ctx, stream, getRequest{LastFor: subject})
}

// next returns the first message of a subject from a sequence on.
func (l leader) next(ctx context.Context, stream, subject string, from uint64) (*message, error) {
	return l.get(ctx, stream, getRequest{Sequence: max(from, 1), NextFor: subject})
}

// state is what a stream holds.
type state struct {
	Messages uint64            `json:"messages"`
	First    uint64            `json:"first_seq"`
	Last     uint64            `json:"last_seq"`
	Subjects map[string]uint64 `json:"subjects"`
	// skew is how far the server's clock is ahead of ours; 0 where it does not tell.
	skew time.Duration
}

type infoRequest struct {
	Filter string `json:"subjects_filter,omitempty"`
	Offset int    `json:"offset,omitempty"`
}

type infoResponse struct {
	refused
	State state     `json:"state"`
	Total int       `json:"total"`
	Time  time.Time `json:"ts"`
}

// state reads what a stream holds, with the subjects that the filter lets
// through; no filter lists none. The server gives out 100,000 subjects a page.
func (l leader) state(ctx context.Context, stream, filter string) (state, error) {
	var all state
	for offset := 0; ; {
		var page infoResponse
		if err := l.ask(ctx, "STREAM.INFO."+stream, infoRequest{Filter: filter, Offset: offset}, &page); err != nil {
			return all, explain(stream, err)
		}
		if all.Subjects == nil {
			all = page.State
			if !page.Time.IsZero() {
				all.skew = time.Until(page.Time)
			}
		}
		for subject, count := range page.State.Subjects {
			all.Subjects[subject] = count
		}
		offset += len(page.State.Subjects)
		if len(page.State.Subjects) == 0 || offset >= page.Total {
			return all, nil
		}
	}
}

// streamOf names the stream that keeps a subject; empty where none does.
func (l leader) streamOf(ctx context.Context, subject string) (string, error) {
	var response struct {
		refused
		Streams []string `json:"streams"`
	}
	request := struct {
		Subject string `json:"subject"`
	}{subject}
	if err := l.ask(ctx, "STREAM.NAMES", request, &response); err != nil {
		return "", fmt.Errorf("look for the stream of %s: %w", subject, err)
	}
	if len(response.Streams) == 0 {
		return "", nil
	}
	return response.Streams[0], nil
}

// ask sends one request and reads the answer, or the error inside it.
func (l leader) ask(ctx context.Context, verb string, request any, response answer) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var body []byte
	if request != nil {
		var err error
		if body, err = json.Marshal(request); err != nil {
			return err
		}
	}
	msg, err := l.nc.RequestWithContext(ctx, "$JS.API."+verb, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(msg.Data, response); err != nil {
		return fmt.Errorf("read the answer to %s: %w", verb, err)
	}
	if refusal := response.refusal(); refusal != nil {
		return refusal
	}
	return nil
}

func isCode(err error, code int) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && int(api.ErrorCode) == code
}

// NoStreamError says that a stream of ours is not there.
type NoStreamError struct{ Stream string }

func (e *NoStreamError) Error() string {
	return fmt.Sprintf("there is no stream %s: nothing was ever run here, or somebody has deleted it; start `dispatchd run` with the right to make it, or check NATS_STREAM_PREFIX", e.Stream)
}

// explain turns a server's answer into what the operator can do.
func explain(stream string, err error) error {
	switch {
	case isCode(err, codeNoStream):
		return &NoStreamError{Stream: stream}
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("read stream %s: JetStream is not enabled for this account, or its stream has no leader: %w", stream, err)
	default:
		return fmt.Errorf("read stream %s: %w", stream, err)
	}
}

// absent takes a stream that is not there for an empty one.
func absent(err error) error {
	var missing *NoStreamError
	if errors.As(err, &missing) {
		return nil
	}
	return err
}

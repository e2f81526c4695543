package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stored is one message as its stream's leader has it.
type stored struct {
	sequence uint64
	key      string
	data     []byte
}

// getRequest and getResponse are the server's own format of STREAM.MSG.GET. The
// client library asks any replica where a stream allows direct gets, and those
// may not have the last messages yet.
type getRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
}

type getResponse struct {
	Error   *jetstream.APIError `json:"error"`
	Message *struct {
		Sequence uint64 `json:"seq"`
		Header   []byte `json:"hdrs"`
		Data     []byte `json:"data"`
	} `json:"message"`
}

// readLeader asks the leader of a stream for one message. It returns nil where
// there is none.
func (p *Publisher) readLeader(ctx context.Context, stream string, request getRequest) (*stored, error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	answer, err := p.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, body)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", stream, err)
	}
	var response getResponse
	if err := json.Unmarshal(answer.Data, &response); err != nil {
		return nil, fmt.Errorf("read stream %s: %w", stream, err)
	}
	switch {
	case response.Error != nil && response.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, nil
	case response.Error != nil:
		return nil, fmt.Errorf("read stream %s: %w", stream, response.Error)
	case response.Message == nil:
		return nil, fmt.Errorf("read stream %s: %w", stream, errNoMessage)
	}
	message := response.Message
	return &stored{sequence: message.Sequence, key: keyOf(message.Header), data: message.Data}, nil
}

// errNoMessage is an answer without an error and without a message.
var errNoMessage = errors.New("the answer holds no message")

// keyOf returns the message's id; empty where it has none.
func keyOf(header []byte) string {
	if len(header) == 0 {
		return ""
	}
	parsed, err := nats.DecodeHeadersMsg(header)
	if err != nil {
		return ""
	}
	return parsed.Get(nats.MsgIdHdr)
}

// next returns the subject's first message from a sequence on.
func (p *Publisher) next(ctx context.Context, stream, subject string, from uint64) (*stored, error) {
	return p.readLeader(ctx, stream, getRequest{Sequence: max(from, 1), NextFor: subject})
}

// last returns the subject's last message.
func (p *Publisher) last(ctx context.Context, stream, subject string) (*stored, error) {
	return p.readLeader(ctx, stream, getRequest{LastFor: subject})
}

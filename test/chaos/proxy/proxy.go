// Package proxy stands between a worker and its NATS server and sees everything
// that the worker publishes, one message at a time: every write, acknowledgement
// and read of the protocol is a point at which a test can stop the worker. So no
// line of the worker exists for the test alone.
package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// Point is one message of the worker on its way to the server.
type Point struct {
	// Name is what kind of message it is, without ids: "write run".
	Name string
	// Payload begins the message's body.
	Payload string
}

// Hook is called before a message is passed on and again after it was. Nothing
// else of the worker, and no answer to it, is passed on while it runs.
type Hook func(p Point, passed bool)

// Proxy listens for one worker.
type Proxy struct {
	listener net.Listener
	server   string
	hook     Hook
	running  sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	// order makes the hook see one message at a time, over all connections.
	order sync.Mutex
}

// Start listens on loopback and passes on to the server's host:port.
func Start(server string, hook Hook) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a worker: %w", err)
	}
	p := &Proxy{listener: listener, server: server, hook: hook}
	p.running.Go(p.accept)
	return p, nil
}

// URL is what the worker connects to.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Close cuts every connection and returns when nothing runs any more.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Cut()
	p.running.Wait()
}

// Cut closes the connections; the worker may come back.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

func (p *Proxy) accept() {
	for {
		worker, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = worker.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, worker, server)
		p.mu.Unlock()
		p.running.Go(func() {
			_, _ = io.Copy(answers{p, worker}, server)
			_ = worker.Close()
		})
		p.running.Go(func() {
			_ = p.pass(worker, server)
			_ = server.Close()
		})
	}
}

// answers are what the server says to a worker. None is passed on while a hook
// runs: who is stopped after a message must not have heard of it.
type answers struct {
	proxy  *Proxy
	worker io.Writer
}

func (a answers) Write(b []byte) (int, error) {
	a.proxy.order.Lock()
	a.proxy.order.Unlock() //nolint:staticcheck // it waits for the hook, and holds nothing while it writes
	return a.worker.Write(b)
}

// pass reads the worker's protocol message by message.
func (p *Proxy) pass(worker io.Reader, server io.Writer) error {
	in := bufio.NewReaderSize(worker, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return err
		}
		subject, header, size, ok := parse(line)
		if !ok {
			if _, err := server.Write(line); err != nil {
				return err
			}
			continue
		}
		body := make([]byte, size+2)
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		if err := p.one(server, append(line, body...), Point{Name: Name(subject, body[header:]), Payload: string(body[header:min(len(body), header+64)])}); err != nil {
			return err
		}
	}
}

func (p *Proxy) one(server io.Writer, message []byte, point Point) error {
	p.order.Lock()
	defer p.order.Unlock()
	p.hook(point, false)
	_, err := server.Write(message)
	p.hook(point, true)
	return err
}

// parse reads "PUB subject [reply] size" and "HPUB subject [reply] header size".
func parse(line []byte) (subject string, header, size int, ok bool) {
	fields := strings.Fields(string(line))
	if len(fields) < 3 {
		return "", 0, 0, false
	}
	var errs [2]error
	switch fields[0] {
	case "PUB":
	case "HPUB":
		header, errs[0] = strconv.Atoi(fields[len(fields)-2])
	default:
		return "", 0, 0, false
	}
	size, errs[1] = strconv.Atoi(fields[len(fields)-1])
	return fields[1], header, size, errors.Join(errs[:]...) == nil
}

// Name says what a message is, without the ids in its subject.
func Name(subject string, body []byte) string {
	tokens := strings.Split(subject, ".")
	switch {
	case strings.HasPrefix(subject, "$JS.ACK."):
		return "verb " + string(bytes.TrimRight(bytes.SplitN(body, []byte(" "), 2)[0], "\r\n"))
	case strings.HasPrefix(subject, "$KV.dispatch_lease."):
		return "write lease " + tokens[2]
	case strings.HasPrefix(subject, "$KV.dispatch_run."):
		return "write run"
	case strings.HasPrefix(subject, "$JS.API.STREAM.MSG.") && bytes.Contains(body, []byte(`"last_by_subj"`)):
		return "last " + tokens[5]
	case strings.HasPrefix(subject, "$JS.API.STREAM.MSG."):
		return strings.ToLower(tokens[4]) + " " + tokens[5]
	case strings.HasPrefix(subject, "$JS.API."):
		return "ask " + strings.Join(tokens[2:min(len(tokens), 5)], " ")
	case strings.HasPrefix(subject, "dispatch.event."):
		return "event " + tokens[len(tokens)-1]
	case strings.HasPrefix(subject, "dispatch."):
		return "write " + tokens[1]
	case strings.HasPrefix(subject, "build.log.end."):
		return "publish build.log.end"
	case strings.HasPrefix(subject, "build.log."):
		return "publish build.log"
	case strings.HasPrefix(subject, "effects."):
		return "effect"
	default:
		return "publish " + subject
	}
}

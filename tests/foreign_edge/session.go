package main

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// The edge's side of one client's connection, whatever carries it: it answers the client's registration.

const (
	idleTimeout = 5 * time.Second // of connections and of handshakes, as the edge has them

	location = "lab01" // the point of presence that registrations are told
	noError  = 0       // code of what ends in order, QUIC's and HTTP/2's
)

// link carries requests to a client: QUIC (quic.go) or HTTP/2 (h2_link.go).
type link interface {
	// open hands a request to the client. Its body follows if it is not `ended`.
	open(within context.Context, asked request) (exchange, error)
	// try hands over what a test asks for, be it legal or not, and tells what came of it.
	try(within context.Context, asked streamRequest) (details, error)
	// call calls a method of the client's.
	call(called method, arguments callArguments) (map[string]any, error)
	// close ends the connection, and says why.
	close(code uint64, reason string)
	// freeze lets the network to this client die, or live again.
	freeze(silent bool)
	frozen() bool
	roundTrip() time.Duration
	// heard counts what came from the client; -1 where the loss of a connection is told as it happens.
	heard() int64
	counters() details
}

// request is a visitor's, as either way to the client can say it.
type request struct {
	method, host, target string
	kind                 int
	headers              []pair // in canonical spelling, without those of one hop
	length               int64  // of the body; -1: not known
	ended                bool   // no body follows
	trailers             bool   // the visitor takes trailers (`te: trailers`), as gRPC's do
}

// exchange is one request that a client has. Write and CloseWrite are for its body; Read for the answer's, after
// readHead.
type exchange interface {
	io.ReadWriter
	CloseWrite() error
	// readHead reads the answer's status, and adds its fields to a header.
	readHead(header http.Header) (int, error)
	// buffered is how much of the answer's body can be read at once.
	buffered() int
	// over says that the answer has ended, and that nothing of it is left to be read.
	over() bool
	// trailer is what came behind the answer's body, once that has ended.
	trailer() http.Header
	// abandon ends both directions: the client must not take what it got for the whole.
	abandon()
	// finish says that no more of the answer is wanted.
	finish()
}

type session struct {
	link       link
	protocol   string // quic or http2
	registry   *registry
	registered atomic.Pointer[connection]
}

// begun notes a handshake.
func (s *session) begun(serverName string) {
	s.registry.note("handshake", details{"server_name": serverName, "protocol": s.protocol})
}

// lost forgets the registration, and notes the connection's end; once.
func (s *session) lost(code uint64, reason string, application bool) {
	if registered := s.registered.Swap(nil); registered != nil {
		s.registry.remove(registered)
		s.registry.note("closed", details{
			"connection": registered.id.String(), "index": registered.index,
			"error_code": code, "reason": reason, "application": application,
		})
	}
}

// --- calls of the client on the control stream ---

func (s *session) register(asked registrationParams) func(b *builder, at int) {
	var made *connection
	denied := &refusal{cause: "this connection is registered already"}
	if s.registered.Load() == nil {
		made, denied = s.registry.register(s, asked)
	}
	about := details{
		"index": asked.index, "version": asked.version, "arch": asked.arch, "features": asked.features,
		"client_id": hex.EncodeToString(asked.clientID), "previous_attempts": asked.numPreviousAttempt,
		"replace_existing": asked.replaceExisting, "protocol": s.protocol,
		"origin_local_ip": hex.EncodeToString(asked.originLocalIP),
	}
	switch {
	case made != nil:
		s.registered.Store(made)
		about["connection"], about["tunnel"], about["hostname"] = made.id.String(), made.tunnel.id.String(), s.registry.hostname(made.tunnel)
		s.registry.note("registered", about)
		return func(b *builder, at int) { writeDetails(b, at, made.id, made.tunnel.remotelyManaged) }
	case denied != nil:
		about["cause"] = denied.cause
		s.registry.note("refused", about)
		return func(b *builder, at int) { writeRefusal(b, at, denied) }
	}
	s.registry.note("ignored", about)
	return nil
}

// response makes the results of registerConnection, a ConnectionResponse, and returns where its union's pointer is.
func response(b *builder, at int, union uint16) int {
	results := b.structure(at, 0, 1)
	answer := b.structure(results.pointer(0), 1, 1)
	b.put16(answer.data, union)
	return answer.pointer(0)
}

func writeDetails(b *builder, at int, id uuid, remotelyManaged bool) {
	told := b.structure(response(b, at, 1), 1, 2)
	if remotelyManaged {
		b.bytes[told.data] = 1
	}
	b.data(told.pointer(0), id[:])
	b.text(told.pointer(1), location)
}

func writeRefusal(b *builder, at int, denied *refusal) {
	told := b.structure(response(b, at, 0), 2, 1)
	b.put64(told.data, uint64(denied.retryAfter*1e9))
	if denied.shouldRetry {
		b.bytes[told.data+8] = 1
	}
	b.text(told.pointer(0), denied.cause)
}

func (s *session) unregister() {
	if registered := s.registered.Load(); registered != nil {
		s.registry.drain(registered)
		s.registry.note("unregistered", details{"connection": registered.id.String(), "index": registered.index})
	}
}

func (s *session) configure(config []byte) {
	if registered := s.registered.Load(); registered != nil {
		s.registry.learn(registered.tunnel, config)
	}
	s.registry.note("configuration", details{"config": string(config)})
}

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// The edge's side of QUIC: one session per client, which answers its registration and opens streams to it.

const (
	idleTimeout = 5 * time.Second // of connections and of handshakes, as the edge has them
	// Bytes of a datagram's payload at first: paths of 1280 bytes, which IPv6 promises, take it. quic-go looks for more.
	initialPacketSize = 1232

	location = "lab01" // the point of presence that registrations are told
	noError  = 0       // application code of CONNECTION_CLOSE, RESET_STREAM and STOP_SENDING
)

type session struct {
	conn       *quic.Conn
	socket     *udpSocket
	registry   *registry
	registered atomic.Pointer[connection]
	frozen     atomic.Bool
}

// edge listens for clients.
type edge struct {
	socket    *udpSocket
	transport *quic.Transport
	listener  *quic.Listener
	registry  *registry
	sessions  chan struct{} // closed when the edge stops
}

func listen(address string, registry *registry) (*edge, []byte, error) {
	settings, authority, err := newTLS()
	if err != nil {
		return nil, nil, err
	}
	udpAddress, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, nil, err
	}
	conn, err := net.ListenUDP("udp", udpAddress)
	if err != nil {
		return nil, nil, err
	}
	socket := newUDPSocket(conn)
	transport := &quic.Transport{Conn: socket}
	listener, err := transport.Listen(settings, &quic.Config{
		MaxIdleTimeout:       idleTimeout,
		HandshakeIdleTimeout: idleTimeout,
		InitialPacketSize:    initialPacketSize,
		EnableDatagrams:      true,
	})
	if err != nil {
		return nil, nil, err
	}
	return &edge{socket, transport, listener, registry, make(chan struct{})}, authority, nil
}

// serve accepts clients until the edge stops.
func (e *edge) serve() {
	for {
		conn, err := e.listener.Accept(context.Background())
		if err != nil {
			return
		}
		client := &session{conn: conn, socket: e.socket, registry: e.registry}
		e.registry.note("handshake", details{"server_name": conn.ConnectionState().TLS.ServerName})
		go client.serve()
		go func() {
			select {
			case <-e.sessions:
				conn.CloseWithError(noError, "the edge stops")
			case <-conn.Context().Done():
			}
		}()
	}
}

// stop closes every connection, and the socket.
func (e *edge) stop() {
	close(e.sessions)
	e.listener.Close()
	time.Sleep(20 * time.Millisecond) // for the CONNECTION_CLOSEs, which quic-go sends when it comes to it
	e.transport.Close()
	e.socket.Close()
}

func (s *session) serve() {
	go s.watch()
	ours := s.conn.ConnectionState().TLS.ServerName == edgeName
	for first := true; ; first = false {
		stream, err := s.conn.AcceptStream(context.Background())
		if err != nil {
			return
		}
		if first && ours {
			go func() {
				serveControl(stream, s)
				stream.Close()
			}()
		} else { // the client opens one stream, and after a probe none
			stream.CancelRead(noError)
			stream.CancelWrite(noError)
		}
	}
}

// watch notes the connection's end.
func (s *session) watch() {
	<-s.conn.Context().Done()
	if s.frozen.Load() {
		s.socket.freeze(s.conn.RemoteAddr(), false) // another client may come from there
	}
	registered := s.registered.Load()
	if registered == nil {
		return
	}
	s.registry.remove(registered)
	why := details{"connection": registered.id.String(), "index": registered.index}
	var application *quic.ApplicationError
	var transport *quic.TransportError
	switch cause := context.Cause(s.conn.Context()); {
	case errors.As(cause, &application):
		why["error_code"], why["reason"], why["application"] = application.ErrorCode, application.ErrorMessage, true
	case errors.As(cause, &transport):
		why["error_code"], why["reason"], why["application"] = transport.ErrorCode, transport.ErrorMessage, false
	default:
		why["error_code"], why["reason"], why["application"] = 0, cause.Error(), false
	}
	s.registry.note("closed", why)
}

// freeze lets the network to this client die, or live again.
func (s *session) freeze(silent bool) {
	s.frozen.Store(silent)
	s.socket.freeze(s.conn.RemoteAddr(), silent)
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
		"replace_existing": asked.replaceExisting,
	}
	switch {
	case made != nil:
		s.registered.Store(made)
		about["connection"], about["tunnel"], about["hostname"] = made.id.String(), made.tunnel.id.String(), made.tunnel.hostname
		s.registry.note("registered", about)
		return func(b *builder, at int) { writeDetails(b, at, made.id) }
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

func writeDetails(b *builder, at int, id uuid) {
	told := b.structure(response(b, at, 1), 1, 2) // tunnelIsRemotelyManaged: false
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
	s.registry.note("configuration", details{"config": string(config)})
}

// call calls a method of the client's on a stream of its own.
func (s *session) call(called method, arguments callArguments) (map[string]any, error) {
	request, err := encodeCall(called, arguments)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	stream, err := s.conn.OpenStreamSync(within)
	if err != nil {
		return nil, err
	}
	defer stream.CancelRead(noError)
	defer stream.Close()
	stream.SetDeadline(time.Now().Add(callTimeout))
	if _, err := stream.Write(request); err != nil {
		return nil, err
	}
	results, err := readAnswer(stream, called)
	if err == nil {
		_, err = stream.Write(finishes())
	}
	return results, err
}

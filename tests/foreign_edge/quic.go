package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// The edge on QUIC: one session per client, streams opened for requests.

// Bytes of a datagram's payload at first: paths of 1280 bytes, which IPv6 promises, take it. quic-go looks for more.
const initialPacketSize = 1232

// quicEdge listens for clients.
type quicEdge struct {
	socket    *udpSocket
	transport *quic.Transport
	listener  *quic.Listener
	registry  *registry
	stopped   chan struct{}
}

func listenQUIC(conn *net.UDPConn, authority *authority, registry *registry) (*quicEdge, error) {
	socket := newUDPSocket(conn)
	transport := &quic.Transport{Conn: socket}
	listener, err := transport.Listen(authority.quicSettings(), &quic.Config{
		MaxIdleTimeout:       idleTimeout,
		HandshakeIdleTimeout: idleTimeout,
		InitialPacketSize:    initialPacketSize,
		EnableDatagrams:      true,
		// A share of it for each visitor who does not read: with quic-go's own bound (15 MB) some twenty of them may
		// stop all others, or not, as the tuning of their streams' windows goes.
		InitialConnectionReceiveWindow: connectionWindow,
		MaxConnectionReceiveWindow:     connectionWindow,
	})
	if err != nil {
		return nil, err
	}
	return &quicEdge{socket, transport, listener, registry, make(chan struct{})}, nil
}

// serve accepts clients until the edge stops.
func (e *quicEdge) serve() {
	for {
		conn, err := e.listener.Accept(context.Background())
		if err != nil {
			return
		}
		client := &session{protocol: "quic", registry: e.registry}
		made := &quicLink{session: client, conn: conn, socket: e.socket}
		client.link = made
		client.begun(conn.ConnectionState().TLS.ServerName)
		go made.serve()
		go func() {
			select {
			case <-e.stopped:
				conn.CloseWithError(noError, "the edge stops")
			case <-conn.Context().Done():
			}
		}()
	}
}

// stop closes every connection, and the socket.
func (e *quicEdge) stop() {
	close(e.stopped)
	e.listener.Close()
	time.Sleep(20 * time.Millisecond) // for the CONNECTION_CLOSEs, which quic-go sends when it comes to it
	e.transport.Close()
	e.socket.Close()
}

type quicLink struct {
	session  *session
	conn     *quic.Conn
	socket   *udpSocket
	isFrozen atomic.Bool
}

func (l *quicLink) serve() {
	go l.watch()
	ours := l.conn.ConnectionState().TLS.ServerName == quicName
	for first := true; ; first = false {
		stream, err := l.conn.AcceptStream(context.Background())
		if err != nil {
			return
		}
		if first && ours {
			go func() {
				serveControl(stream, l.session)
				stream.Close()
			}()
		} else { // the client opens one stream, and after a probe none
			stream.CancelRead(noError)
			stream.CancelWrite(noError)
		}
	}
}

// watch tells the session of the connection's end.
func (l *quicLink) watch() {
	<-l.conn.Context().Done()
	if l.isFrozen.Load() {
		l.socket.freeze(l.conn.RemoteAddr(), false) // another client may come from there
	}
	var application *quic.ApplicationError
	var transport *quic.TransportError
	switch cause := context.Cause(l.conn.Context()); {
	case errors.As(cause, &application):
		l.session.lost(uint64(application.ErrorCode), application.ErrorMessage, true)
	case errors.As(cause, &transport):
		l.session.lost(uint64(transport.ErrorCode), transport.ErrorMessage, false)
	default:
		l.session.lost(noError, cause.Error(), false)
	}
}

func (l *quicLink) close(code uint64, reason string) {
	l.conn.CloseWithError(quic.ApplicationErrorCode(code), reason)
}

func (l *quicLink) freeze(silent bool) {
	l.isFrozen.Store(silent)
	l.socket.freeze(l.conn.RemoteAddr(), silent)
}

func (l *quicLink) frozen() bool { return l.isFrozen.Load() }

func (l *quicLink) roundTrip() time.Duration { return l.conn.ConnectionStats().SmoothedRTT }

func (l *quicLink) heard() int64 { return int64(l.conn.ConnectionStats().PacketsReceived) }

func (l *quicLink) counters() details {
	stats := l.conn.ConnectionStats()
	return details{
		"packets_in": stats.PacketsReceived, "packets_out": stats.PacketsSent, "bytes_in": stats.BytesReceived,
		"bytes_out": stats.BytesSent, "packets_lost": stats.PacketsLost, "min_rtt": stats.MinRTT.Seconds(),
	}
}

// --- requests ---

type quicExchange struct {
	*quic.Stream
	answer *bufio.Reader
}

func (l *quicLink) open(within context.Context, asked request) (exchange, error) {
	stream, err := l.conn.OpenStreamSync(within)
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write(connectRequest(asked)); err != nil {
		stream.CancelRead(noError)
		return nil, err
	}
	if asked.ended {
		stream.Close()
	}
	return quicExchange{stream, bufio.NewReaderSize(stream, 4096)}, nil
}

// connectRequest gives the head of the stream, its metadata spelled as the edge spells it.
func connectRequest(asked request) []byte {
	metadata := make([]pair, 0, len(asked.headers)+3)
	metadata = append(metadata, pair{"HttpMethod", asked.method}, pair{"HttpHost", asked.host})
	for _, header := range asked.headers {
		metadata = append(metadata, pair{"HttpHeader:" + header.key, header.value})
	}
	if asked.length < 0 {
		// A body follows whose length is not known.
		metadata = append(metadata, pair{"HttpHeader:Transfer-Encoding", "chunked"})
	}
	return encodeRequest("https://"+asked.host+asked.target, asked.kind, metadata)
}

func (e quicExchange) Read(into []byte) (int, error) { return e.answer.Read(into) }

func (e quicExchange) CloseWrite() error { return e.Close() }

func (e quicExchange) buffered() int { return e.answer.Buffered() }

// over is not known before the end is read.
func (e quicExchange) over() bool { return false }

func (e quicExchange) trailer() http.Header { return nil } // QUIC has no way to say it

func (e quicExchange) abandon() {
	e.CancelWrite(noError)
	e.CancelRead(noError)
}

func (e quicExchange) finish() { e.CancelRead(noError) }

var errNoStatus = errors.New("the client's answer has no status")

func (e quicExchange) readHead(header http.Header) (int, error) {
	failure, metadata, err := decodeResponse(e.answer)
	if err != nil {
		return 0, fmt.Errorf("the client gave no answer: %w", err)
	}
	if failure != "" {
		return 0, fmt.Errorf("the client gave no answer: %s", failure)
	}
	status := 0
	for _, entry := range metadata {
		if entry.key == "HttpStatus" {
			status, err = strconv.Atoi(entry.value)
		} else if name, is := strings.CutPrefix(entry.key, "HttpHeader:"); is {
			header.Add(name, entry.value)
		}
	}
	if err != nil || status < 101 || status > 999 {
		return 0, errNoStatus
	}
	return status, nil
}

// --- for tests ---

// try writes bytes on a new stream, and gathers the answer until its end or the time's.
func (l *quicLink) try(within context.Context, asked streamRequest) (details, error) {
	output, err := asked.bytes()
	if err != nil {
		return nil, err
	}
	fin := asked.ends()
	stream, err := l.conn.OpenStreamSync(within)
	if err != nil {
		return details{"data": "", "ended": "open", "stopped": false}, nil
	}
	deadline, _ := within.Deadline()
	stream.SetDeadline(deadline)
	written := make(chan bool, 1) // whether the client asked us to stop
	go func() {
		_, err := stream.Write(output)
		if err == nil && fin {
			stream.Close()
		}
		written <- stopped(err)
	}()
	answer, err := io.ReadAll(io.LimitReader(stream, maxAnswer))
	ended := "open"
	var reset *quic.StreamError
	switch {
	case err == nil && len(answer) < maxAnswer:
		ended = "fin"
	case errors.As(err, &reset):
		ended = "reset"
	}
	if ended == "open" {
		stream.CancelWrite(noError)
		stream.CancelRead(noError)
	} else if !fin {
		stream.CancelWrite(noError)
	}
	told := <-written || stopped(context.Cause(stream.Context()))
	return details{"data": hexed(answer), "ended": ended, "stopped": told}, nil
}

func stopped(err error) bool {
	var reset *quic.StreamError
	return errors.As(err, &reset) && reset.Remote
}

// call uses a stream of its own.
func (l *quicLink) call(called method, arguments callArguments) (map[string]any, error) {
	within, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	stream, err := l.conn.OpenStreamSync(within)
	if err != nil {
		return nil, err
	}
	defer stream.CancelRead(noError)
	defer stream.Close()
	stream.SetDeadline(time.Now().Add(callTimeout))
	return converse(stream, called, arguments)
}

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The public front: a visitor's request becomes a stream to a client, its answer the response.

const (
	noConnection = 530              // what the edge answers when no connection of the tunnel is registered
	maxHead      = 256 << 10        // bytes of a request's head, as the local edge takes them
	pieceBytes   = 64 << 10         // bytes that are read and written at once
	leftover     = 2 * time.Second  // for the rest of a body whose answer is complete
	openTimeout  = 30 * time.Second // for a stream, while the client allows no more
)

// neverForwarded speak of one hop (RFC 9110 section 7.6.1), or are said in a way of their own.
var neverForwarded = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authenticate": true,
	"Proxy-Authorization": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Host": true, "X-Forwarded-For": true,
}

var pieces = sync.Pool{New: func() any { piece := make([]byte, pieceBytes); return &piece }}

type front struct{ registry *registry }

func newFront(registry *registry) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: front{registry}, MaxHeaderBytes: maxHead, Protocols: protocols,
		ErrorLog: quiet,
	}
}

func isWebSocket(r *http.Request) bool {
	return r.ProtoMajor == 1 && strings.EqualFold(r.Header.Get("Upgrade"), "websocket") &&
		strings.Contains(strings.ToLower(strings.Join(r.Header["Connection"], ",")), "upgrade")
}

// newRequest is a visitor's request as the edge passes it on, with what it says of the visitor.
func newRequest(r *http.Request) request {
	headers := make([]pair, 0, len(r.Header)+8)
	for name, values := range r.Header {
		if neverForwarded[name] {
			continue
		}
		for _, value := range values {
			headers = append(headers, pair{name, value})
		}
	}
	visitor, _, _ := net.SplitHostPort(r.RemoteAddr)
	var ray [8]byte
	rand.Read(ray[:])
	forwarded := strings.Join(append(r.Header["X-Forwarded-For"], visitor), ", ")
	headers = append(headers,
		pair{"Cf-Connecting-Ip", visitor},
		pair{"Cf-Ipcountry", "XX"},
		pair{"Cf-Ray", hex.EncodeToString(ray[:]) + "-LAB"},
		pair{"Cf-Visitor", `{"scheme":"https"}`},
		pair{"Cdn-Loop", "cloudflare; loops=1"},
		pair{"X-Forwarded-For", forwarded},
		pair{"X-Forwarded-Proto", "https"},
	)
	made := request{
		method: r.Method, host: r.Host, target: r.RequestURI, headers: headers, length: r.ContentLength,
		ended: r.Body == http.NoBody, trailers: slices.Contains(r.Header["Te"], "trailers"),
	}
	if isWebSocket(r) {
		made.kind, made.ended = kindWebSocket, false
	}
	return made
}

func (f front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	chosen := f.registry.route(r.Host)
	if chosen == nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(noConnection)
		io.WriteString(w, "error code: 1033\n\nno connection of this tunnel is registered\n")
		return
	}
	within, cancel := context.WithTimeout(r.Context(), openTimeout)
	stream, err := chosen.session.link.open(within, newRequest(r))
	cancel()
	if err != nil {
		badGateway(w, fmt.Errorf("the client took no request: %w", err), chosen)
		return
	}
	f.registry.streams.Add(1)
	// A visitor who leaves ends both directions at once.
	unhook := context.AfterFunc(r.Context(), stream.abandon)
	defer unhook()
	if isWebSocket(r) {
		f.answerWebSocket(w, stream, unhook, chosen)
		return
	}
	control := http.NewResponseController(w)
	control.EnableFullDuplex() // an answer may begin, or be complete, before the body is
	var sent sync.WaitGroup
	var isRead atomic.Bool
	if r.Body != http.NoBody {
		sent.Add(1)
		go func() {
			defer sent.Done()
			f.sendBody(stream, r.Body)
			isRead.Store(true)
		}()
	}
	whole := f.answer(w, stream, control, chosen)
	if whole && r.Body != http.NoBody && !isRead.Load() {
		control.Flush() // else net/http ends the answer at once, a head without a body in one frame
	}
	// The rest of the body is read for a while: to close now could cost the visitor the answer.
	rest := time.AfterFunc(leftover, func() { control.SetReadDeadline(time.Unix(1, 0)) })
	if !whole {
		rest.Stop()
		control.SetReadDeadline(time.Unix(1, 0))
	}
	sent.Wait()
	rest.Stop()
	stream.finish()
	if !whole {
		panic(http.ErrAbortHandler) // the visitor must not take a part for the whole
	}
}

// sendBody passes the visitor's body on; what the client does not want is read and thrown away.
func (f front) sendBody(stream exchange, body io.Reader) {
	piece := pieces.Get().(*[]byte)
	defer pieces.Put(piece)
	wanted := true
	for {
		count, err := body.Read(*piece)
		if count > 0 && wanted {
			taken, failed := stream.Write((*piece)[:count])
			f.registry.bytesIn.Add(int64(taken))
			wanted = failed == nil
		}
		if err == io.EOF {
			stream.CloseWrite()
			return
		}
		if err != nil { // it broke off: never FIN on a short body, and nobody is left for the answer
			stream.abandon()
			return
		}
	}
}

// badGateway answers with a page of the edge's own, which names the connection; with the status of the client, if it gave
// one itself.
func badGateway(w http.ResponseWriter, reason error, by *connection) {
	status := http.StatusBadGateway
	var own *ownAnswer
	if errors.As(reason, &own) {
		status = own.status
	}
	clear(w.Header())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "error code: %d\n\n%v\nconnection %s\n", status, reason, by.id)
}

// answer passes the client's answer on; false if it broke off.
func (f front) answer(w http.ResponseWriter, stream exchange, control *http.ResponseController, by *connection) bool {
	status, err := stream.readHead(w.Header())
	if err != nil {
		badGateway(w, err, by)
		return true
	}
	// Nothing is added to what the client sent.
	for _, name := range []string{"Date", "Content-Type"} {
		if _, is := w.Header()[name]; !is {
			w.Header()[name] = nil
		}
	}
	w.WriteHeader(status)
	// A head that is all of an answer goes as one: gRPC's clients tell by it that no body comes.
	if w.Header().Get("Content-Length") == "" && stream.buffered() == 0 && !stream.over() {
		control.Flush() // what follows may take its time
	}
	piece := pieces.Get().(*[]byte)
	defer pieces.Put(piece)
	for first := true; ; first = false {
		count, err := stream.Read(*piece)
		f.registry.bytesOut.Add(int64(count))
		if count > 0 {
			if _, failed := w.Write((*piece)[:count]); failed != nil && !errors.Is(failed, http.ErrBodyNotAllowed) {
				return false
			}
		}
		if err == io.EOF {
			for name, values := range stream.trailer() {
				w.Header()[http.TrailerPrefix+name] = values
			}
			return true
		}
		if err != nil {
			return false
		}
		if first && count > 0 && stream.buffered() == 0 && w.Header().Get("Content-Length") == strconv.Itoa(count) {
			continue // it is whole: net/http sends head and body in one write when the FIN is read
		}
		if control.Flush() != nil {
			return false
		}
	}
}

// answerWebSocket serves an upgrade: after a 101 raw bytes both ways, any other answer as it is.
func (f front) answerWebSocket(w http.ResponseWriter, stream exchange, unhook func() bool, by *connection) {
	control := http.NewResponseController(w)
	header := http.Header{}
	status, err := stream.readHead(header)
	if err != nil {
		stream.abandon()
		badGateway(w, err, by)
		return
	}
	if status != http.StatusSwitchingProtocols {
		stream.CloseWrite()
		header["Connection"] = []string{"close"} // what would follow is raw, or nothing
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		count, err := io.Copy(w, stream)
		f.registry.bytesOut.Add(count)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		return
	}
	conn, buffered, err := control.Hijack()
	if err != nil {
		stream.abandon()
		return
	}
	unhook()
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\n")
	header.Write(conn)
	io.WriteString(conn, "\r\n")
	f.pump(conn, buffered.Reader, stream)
}

// pump passes raw bytes both ways, and each end on, until both have come or one side broke.
func (f front) pump(conn net.Conn, visitor io.Reader, stream exchange) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		switch err := copyCounted(stream, visitor, &f.registry.bytesIn); {
		case err == nil:
			stream.CloseWrite()
		case errors.Is(err, errNotWanted): // what the client sent before is still on its way to the visitor
			conn.SetReadDeadline(time.Now().Add(leftover))
			io.Copy(io.Discard, visitor)
		default:
			stream.abandon()
			conn.SetDeadline(time.Unix(1, 0))
		}
	}()
	if copyCounted(conn, stream, &f.registry.bytesOut) == nil {
		if half, can := conn.(interface{ CloseWrite() error }); can {
			half.CloseWrite()
		}
	} else {
		stream.abandon()
		if tcp, is := conn.(*net.TCPConn); is {
			tcp.SetLinger(0) // a reset, as the stream's end was one
		}
		conn.SetDeadline(time.Unix(1, 0))
	}
	<-done
}

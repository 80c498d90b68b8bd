package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// The public front: a visitor's request becomes a stream to a client, its answer the response.

const (
	noConnection = 530              // what the edge answers when no connection of the tunnel is registered
	maxHead      = 64 << 10         // bytes of a request's head
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

// connectRequest gives the head of the stream, its metadata spelled as the edge spells it.
func connectRequest(r *http.Request) []byte {
	metadata := make([]pair, 0, len(r.Header)+12)
	metadata = append(metadata, pair{"HttpMethod", r.Method}, pair{"HttpHost", r.Host})
	for name, values := range r.Header {
		if neverForwarded[name] {
			continue
		}
		for _, value := range values {
			metadata = append(metadata, pair{"HttpHeader:" + name, value})
		}
	}
	if r.ContentLength < 0 {
		// A body follows whose length is not known.
		metadata = append(metadata, pair{"HttpHeader:Transfer-Encoding", "chunked"})
	}
	visitor, _, _ := net.SplitHostPort(r.RemoteAddr)
	var ray [8]byte
	rand.Read(ray[:])
	forwarded := strings.Join(append(r.Header["X-Forwarded-For"], visitor), ", ")
	metadata = append(metadata,
		pair{"HttpHeader:Cf-Connecting-Ip", visitor},
		pair{"HttpHeader:Cf-Ipcountry", "XX"},
		pair{"HttpHeader:Cf-Ray", hex.EncodeToString(ray[:]) + "-LAB"},
		pair{"HttpHeader:Cf-Visitor", `{"scheme":"https"}`},
		pair{"HttpHeader:Cdn-Loop", "cloudflare; loops=1"},
		pair{"HttpHeader:X-Forwarded-For", forwarded},
		pair{"HttpHeader:X-Forwarded-Proto", "https"},
	)
	kind := kindHTTP
	if isWebSocket(r) {
		kind = kindWebSocket
	}
	return encodeRequest("https://"+r.Host+r.RequestURI, kind, metadata)
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
	stream, err := chosen.session.conn.OpenStreamSync(within)
	cancel()
	if err != nil {
		badGateway(w, "no stream could be opened: "+err.Error())
		return
	}
	f.registry.streams.Add(1)
	// A visitor who leaves ends both directions at once.
	unhook := context.AfterFunc(r.Context(), func() { abandon(stream) })
	defer unhook()
	if _, err := stream.Write(connectRequest(r)); err != nil {
		badGateway(w, "the client took no request: "+err.Error())
		return
	}
	if isWebSocket(r) {
		f.answerWebSocket(w, stream, unhook)
		return
	}
	control := http.NewResponseController(w)
	control.EnableFullDuplex() // an answer may begin, or be complete, before the body is
	var sent sync.WaitGroup
	if r.Body == http.NoBody {
		stream.Close()
	} else {
		sent.Add(1)
		go func() {
			defer sent.Done()
			f.sendBody(stream, r.Body)
		}()
	}
	whole := f.answer(w, stream, control)
	if whole && r.Body != http.NoBody {
		control.Flush()
	}
	// The rest of the body is read for a while: to close now could cost the visitor the answer.
	rest := time.AfterFunc(leftover, func() { control.SetReadDeadline(time.Unix(1, 0)) })
	if !whole {
		rest.Stop()
		control.SetReadDeadline(time.Unix(1, 0))
	}
	sent.Wait()
	rest.Stop()
	stream.CancelRead(noError)
	if !whole {
		panic(http.ErrAbortHandler) // the visitor must not take a part for the whole
	}
}

// abandon resets and stops a stream.
func abandon(stream *quic.Stream) {
	stream.CancelWrite(noError)
	stream.CancelRead(noError)
}

// sendBody passes the visitor's body on; what the client does not want is read and thrown away.
func (f front) sendBody(stream *quic.Stream, body io.Reader) {
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
			stream.Close()
			return
		}
		if err != nil { // it broke off: never FIN on a short body, and nobody is left for the answer
			abandon(stream)
			return
		}
	}
}

var errNoStatus = errors.New("the client's answer has no status")

// readHead reads the client's answer up to its body: status and header.
func readHead(from io.Reader, header http.Header) (int, error) {
	failure, metadata, err := decodeResponse(from)
	if err != nil {
		return 0, err
	}
	if failure != "" {
		return 0, errors.New(failure)
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

func badGateway(w http.ResponseWriter, reason string) {
	clear(w.Header())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusBadGateway)
	fmt.Fprintf(w, "error code: 502\n\n%s\n", reason)
}

// answer passes the client's answer on; false if it broke off.
func (f front) answer(w http.ResponseWriter, stream *quic.Stream, control *http.ResponseController) bool {
	from := bufio.NewReaderSize(stream, 4096)
	status, err := readHead(from, w.Header())
	if err != nil {
		badGateway(w, "the client gave no answer: "+err.Error())
		return true
	}
	// Nothing is added to what the client sent.
	for _, name := range []string{"Date", "Content-Type"} {
		if _, is := w.Header()[name]; !is {
			w.Header()[name] = nil
		}
	}
	w.WriteHeader(status)
	piece := pieces.Get().(*[]byte)
	defer pieces.Put(piece)
	for first := true; ; first = false {
		count, err := from.Read(*piece)
		f.registry.bytesOut.Add(int64(count))
		if count > 0 {
			if _, failed := w.Write((*piece)[:count]); failed != nil && !errors.Is(failed, http.ErrBodyNotAllowed) {
				return false
			}
		}
		if err == io.EOF {
			return true
		}
		if err != nil {
			return false
		}
		if first && count > 0 && from.Buffered() == 0 && w.Header().Get("Content-Length") == strconv.Itoa(count) {
			continue // it is whole: net/http sends head and body in one write when the FIN is read
		}
		if control.Flush() != nil {
			return false
		}
	}
}

// answerWebSocket serves an upgrade: after a 101 raw bytes both ways, any other answer as it is.
func (f front) answerWebSocket(w http.ResponseWriter, stream *quic.Stream, unhook func() bool) {
	control := http.NewResponseController(w)
	from := bufio.NewReaderSize(stream, 4096)
	header := http.Header{}
	status, err := readHead(from, header)
	if err != nil {
		abandon(stream)
		badGateway(w, "the client gave no answer: "+err.Error())
		return
	}
	if status != http.StatusSwitchingProtocols {
		stream.Close()
		header["Connection"] = []string{"close"} // what would follow is raw, or nothing
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		count, err := io.Copy(w, from)
		f.registry.bytesOut.Add(count)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		return
	}
	conn, buffered, err := control.Hijack()
	if err != nil {
		abandon(stream)
		return
	}
	unhook()
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\n")
	header.Write(conn)
	io.WriteString(conn, "\r\n")
	f.pump(conn, buffered.Reader, stream, from)
}

// pump passes raw bytes both ways, and each end on, until both have come or one side broke.
func (f front) pump(conn net.Conn, visitor io.Reader, stream *quic.Stream, client io.Reader) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if copyCounted(stream, visitor, &f.registry.bytesIn) == nil {
			stream.Close()
		} else {
			abandon(stream)
			conn.SetDeadline(time.Unix(1, 0))
		}
	}()
	if copyCounted(conn, client, &f.registry.bytesOut) == nil {
		if half, can := conn.(interface{ CloseWrite() error }); can {
			half.CloseWrite()
		}
	} else {
		abandon(stream)
		if tcp, is := conn.(*net.TCPConn); is {
			tcp.SetLinger(0) // a reset, as the stream's end was one
		}
		conn.SetDeadline(time.Unix(1, 0))
	}
	<-done
}

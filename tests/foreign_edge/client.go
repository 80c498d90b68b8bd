package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/net/http2"
)

// A client of the tunnel over HTTP/2, to show to edges: as the official one it is golang.org/x/net's server, on a
// connection that it dialled. Its origin is its own.

// runClient asks an API for a tunnel, registers it, and serves until a signal or the edge ends it.
func runClient(arguments []string) error {
	flags := flag.NewFlagSet("foreign-edge client", flag.ContinueOnError)
	api := flags.String("api", "", "URL of the tunnel API")
	edge := flags.String("edge", "", "HOST:PORT of the edge, over TCP")
	ca := flags.String("ca", "", "PEM file with the authority to trust")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(*ca)
	if err != nil {
		return err
	}
	roots.AppendCertsFromPEM(pem)
	tunnel, err := askForTunnel(*api)
	if err != nil {
		return err
	}
	conn, err := tls.Dial("tcp", *edge, &tls.Config{RootCAs: roots, ServerName: h2Name})
	if err != nil {
		return err
	}
	leave := make(chan os.Signal, 1)
	signal.Notify(leave, os.Interrupt, syscall.SIGTERM)
	serveAsClient(conn, func(w io.Writer, r *http.Request) {
		if told, err := registerAt(w, r.Body, tunnel); err != nil {
			fmt.Fprintln(os.Stderr, "foreign-edge client:", err)
			return
		} else if json.NewEncoder(os.Stdout).Encode(details{"hostname": tunnel.given, "location": told}) != nil {
			return
		}
		go io.Copy(io.Discard, r.Body)
		select {
		case <-leave:
			w.Write(callOf(3, 1, func(*builder, int) {}))
		case <-r.Context().Done():
		}
	})
	return nil
}

func askForTunnel(api string) (*tunnel, error) {
	response, err := http.Post(api+"/tunnel", "application/json", nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var told struct {
		Result struct {
			ID         string `json:"id"`
			Hostname   string `json:"hostname"`
			AccountTag string `json:"account_tag"`
			Secret     []byte `json:"secret"`
		} `json:"result"`
	}
	if err := json.NewDecoder(response.Body).Decode(&told); err != nil {
		return nil, err
	}
	id, err := parseUUID(told.Result.ID)
	if err != nil {
		return nil, fmt.Errorf("the tunnel's id: %w", err)
	}
	return &tunnel{
		id: id, given: told.Result.Hostname, accountTag: told.Result.AccountTag, secret: told.Result.Secret,
	}, nil
}

// callOf calls a method of the edge's, on the capability that question 0 asked for.
func callOf(question uint32, number uint16, write func(b *builder, at int)) []byte {
	b, call := newRPC(rpcCall, 3, 3)
	b.put32(call.data, question)
	b.put16(call.data+4, number)
	b.put64(call.data+8, registrationServer)
	target := b.structure(call.pointer(0), 1, 1)
	b.put16(target.data+4, 1) // promisedAnswer, of question 0
	b.structure(target.pointer(0), 1, 1)
	params := b.structure(call.pointer(1), 0, 2)
	write(b, params.pointer(0))
	return b.finish()
}

// registerAt registers the tunnel, and returns where the edge says it is.
func registerAt(w io.Writer, r io.Reader, asked *tunnel) (string, error) {
	b, bootstrap := newRPC(rpcBootstrap, 1, 1)
	b.put32(bootstrap.data, 0)
	w.Write(b.finish())
	w.Write(callOf(1, 0, func(b *builder, at int) {
		params := b.structure(at, 1, 3)
		auth := b.structure(params.pointer(0), 0, 2)
		b.text(auth.pointer(0), asked.accountTag)
		b.data(auth.pointer(1), asked.secret)
		b.data(params.pointer(1), asked.id[:])
		options := b.structure(params.pointer(2), 1, 2)
		client := b.structure(options.pointer(0), 0, 4)
		id := newUUID()
		b.data(client.pointer(0), id[:])
		b.text(client.pointer(2), "stand-in")
		b.data(options.pointer(1), make([]byte, 16))
	}))
	for {
		m, err := readMessage(r)
		if err != nil {
			return "", fmt.Errorf("the edge's answer: %w", unexpected(err))
		}
		returned := m.root().structure(0)
		if m.root().u16(0) != rpcReturn || returned.u32(0) != 1 {
			continue
		}
		answer := returned.structure(0).structure(0).structure(0)
		told := answer.structure(0)
		if answer.u16(0) != 1 {
			return "", fmt.Errorf("refused: %s", told.textAt(0))
		}
		return told.textAt(1), m.err
	}
}

// serveAsClient serves HTTP/2 on a connection to an edge until that closes it. `control` talks on the control stream.
func serveAsClient(conn *tls.Conn, control func(w io.Writer, r *http.Request)) {
	(&http2.Server{}).ServeConn(conn, &http2.ServeConnOpts{
		Context: context.Background(), BaseConfig: &http.Server{ErrorLog: quiet}, Handler: clientHandler(control),
	})
}

func answerAsOrigin(w http.ResponseWriter, status int, headers ...string) {
	var serialized []string
	for i := 0; i < len(headers); i += 2 {
		encode := base64.RawStdEncoding.EncodeToString
		serialized = append(serialized, encode([]byte(headers[i]))+":"+encode([]byte(headers[i+1])))
	}
	w.Header().Set("Cf-Cloudflared-Response-Headers", strings.Join(serialized, ";"))
	w.Header().Set("Cf-Cloudflared-Response-Meta", metaOrigin)
	w.WriteHeader(status)
	http.NewResponseController(w).Flush()
}

type clientHandler func(w io.Writer, r *http.Request)

func (c clientHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	control.EnableFullDuplex()
	at := flushing{w, control}
	switch r.Header.Get("Cf-Cloudflared-Proxy-Connection-Upgrade") {
	case kindControl:
		c(at, r)
		return
	case kindOfUpdate:
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"lastAppliedVersion":7,"err":{"seen":%q}}`, body)
		return
	case kindOfUpgrade:
		answerAsOrigin(w, 200, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Accept", "x")
		io.Copy(at, r.Body)
		return
	}
	switch r.URL.Path {
	case "/echo":
		answerAsOrigin(w, 200, "X-Method", r.Method, "X-Length", fmt.Sprint(r.ContentLength), "X-Host", r.Host,
			"X-Forwarded-Proto", r.Header.Get("X-Forwarded-Proto"), "X-Te", r.Header.Get("Te"))
		io.Copy(at, r.Body)
	case "/trailers":
		answerAsOrigin(w, 200)
		io.WriteString(w, "body")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	case "/large":
		answerAsOrigin(w, 200, "Content-Length", "20000000")
		w.Write(bytes.Repeat([]byte("x"), 20_000_000))
	case "/large-head": // too large for one frame
		var headers []string
		for i := range 60 {
			headers = append(headers, fmt.Sprintf("X-%d", i), strings.Repeat("x", 1000))
		}
		answerAsOrigin(w, 200, headers...)
	case "/early":
		answerAsOrigin(w, 413)
	case "/broken":
		answerAsOrigin(w, 200)
		io.WriteString(at, "half")
		panic(http.ErrAbortHandler)
	case "/down":
		w.Header().Set("Cf-Cloudflared-Response-Meta", `{"src":"cloudflared"}`)
		w.WriteHeader(502)
	case "/wait":
		answerAsOrigin(w, 200)
		<-r.Context().Done()
	default:
		answerAsOrigin(w, 404)
	}
}

// flushing sends what is written at once.
type flushing struct {
	io.Writer
	control *http.ResponseController
}

func (f flushing) Write(from []byte) (int, error) {
	count, err := f.Writer.Write(from)
	f.control.Flush()
	return count, err
}

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"
)

// The control port: the calls and the JSON of the local edge's (actors/local_edge/admin.py), and some of its own: GET
// /counters, and /frames, /ping and /goaway for connections over HTTP/2.

const (
	streamTimeout = 10.0     // seconds that /stream waits for the end of an answer, unless `timeout` says less
	maxAnswer     = 16 << 20 // bytes of an answer that /stream gathers
	maxBody       = 64 << 20 // bytes of an order
)

var errUsage = errors.New("usage")

func usage(format string, arguments ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, arguments...))
}

type admin struct {
	registry *registry
	socket   *udpSocket
	tcp      *tcpEdge
	domain   string // of the names of tunnels that are made known
}

func newAdmin(registry *registry, socket *udpSocket, tcp *tcpEdge, domain string) http.Handler {
	a := &admin{registry, socket, tcp, domain}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /connections", answering(a.connections))
	routes.HandleFunc("GET /tunnels", answering(a.tunnels))
	routes.HandleFunc("POST /tunnels", answering(a.knowTunnel))
	routes.HandleFunc("PATCH /tunnels/{id}", answering(a.changeTunnel))
	routes.HandleFunc("POST /tunnels/{id}/push", answering(a.push))
	routes.HandleFunc("DELETE /tunnels/{id}", answering(a.dropTunnel))
	routes.HandleFunc("GET /log", answering(a.log))
	routes.HandleFunc("GET /totals", answering(a.totals))
	routes.HandleFunc("GET /counters", answering(a.counters))
	routes.HandleFunc("POST /connections/{id}/drop", answering(a.drop))
	routes.HandleFunc("POST /connections/{id}/freeze", answering(a.freeze))
	routes.HandleFunc("POST /connections/{id}/thaw", answering(a.thaw))
	routes.HandleFunc("POST /connections/{id}/stream", answering(a.stream))
	routes.HandleFunc("POST /connections/{id}/call", answering(a.call))
	routes.HandleFunc("POST /connections/{id}/ping", answering(a.ping))
	routes.HandleFunc("POST /connections/{id}/goaway", answering(a.goAway))
	routes.HandleFunc("POST /connections/{id}/frames", answering(a.frames))
	routes.HandleFunc("POST /network", answering(a.network))
	routes.HandleFunc("POST /rules", answering(a.addRule))
	routes.HandleFunc("DELETE /rules", answering(a.clearRules))
	return routes
}

// answering turns a function into a handler: what it returns is the JSON, a mistake of the caller's is a 400.
func answering(serve func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := serve(r)
		switch {
		case errors.Is(err, errUsage):
			writeJSON(w, http.StatusBadRequest, details{"error": err.Error()})
		case err != nil:
			writeJSON(w, http.StatusBadGateway, details{"error": err.Error()})
		default:
			writeJSON(w, http.StatusOK, value)
		}
	}
}

// decode reads the body, an object or nothing.
func decode(r *http.Request, into any) error {
	err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(into)
	if err != nil && err != io.EOF {
		return usage("the body must be a JSON object: %v", err)
	}
	return nil
}

func (a *admin) connection(r *http.Request) (*connection, error) {
	if found := a.registry.connection(r.PathValue("id")); found != nil {
		return found, nil
	}
	return nil, usage("no connection %q is registered", r.PathValue("id"))
}

func (a *admin) connections(*http.Request) (any, error) {
	a.registry.mutex.Lock()
	defer a.registry.mutex.Unlock()
	told := []details{}
	for _, held := range a.registry.connections {
		told = append(told, details{
			"id": held.id.String(), "tunnel": held.tunnel.id.String(), "hostname": held.tunnel.hostname(),
			"index": held.index, "draining": held.draining, "frozen": held.session.link.frozen(),
			"client_id": hex.EncodeToString(held.clientID), "version": held.version,
			"rtt": held.session.link.roundTrip().Seconds(), "protocol": held.session.protocol,
		})
	}
	return told, nil
}

func (a *admin) dropTunnel(r *http.Request) (any, error) {
	dropped, found := a.registry.dropTunnel(r.PathValue("id"))
	if !found {
		return nil, usage("there is no tunnel %q", r.PathValue("id"))
	}
	for _, held := range dropped {
		held.session.link.close(noError, "the tunnel was dropped")
	}
	return details{}, nil
}

func (a *admin) log(*http.Request) (any, error) {
	a.registry.mutex.Lock()
	defer a.registry.mutex.Unlock()
	return append([]details{}, a.registry.log...), nil
}

func (a *admin) totals(*http.Request) (any, error) {
	r := a.registry
	return details{"streams": r.streams.Load(), "bytes_in": r.bytesIn.Load(), "bytes_out": r.bytesOut.Load()}, nil
}

// counters are what QUIC and UDP counted: `out` is towards the clients.
func (a *admin) counters(*http.Request) (any, error) {
	a.registry.mutex.Lock()
	defer a.registry.mutex.Unlock()
	told := []details{}
	for _, held := range a.registry.connections {
		counted := held.session.link.counters()
		counted["id"] = held.id.String()
		told = append(told, counted)
	}
	return details{
		"datagrams_in": a.socket.datagramsIn.Load(), "datagrams_out": a.socket.datagramsOut.Load(),
		"connections": told,
	}, nil
}

func (a *admin) drop(r *http.Request) (any, error) {
	held, err := a.connection(r)
	if err != nil {
		return nil, err
	}
	var options struct {
		ErrorCode uint64 `json:"error_code"`
		Reason    string `json:"reason"`
		Silent    bool   `json:"silent"`
	}
	if err := decode(r, &options); err != nil {
		return nil, err
	}
	a.registry.remove(held)
	if options.Silent {
		held.session.link.freeze(true)
	} else {
		held.session.link.close(options.ErrorCode, options.Reason)
	}
	a.registry.note("dropped", details{"connection": held.id.String(), "silent": options.Silent})
	return details{}, nil
}

func (a *admin) freeze(r *http.Request) (any, error) { return a.setFrozen(r, true) }
func (a *admin) thaw(r *http.Request) (any, error)   { return a.setFrozen(r, false) }

func (a *admin) setFrozen(r *http.Request, silent bool) (any, error) {
	held, err := a.connection(r)
	if err == nil {
		held.session.link.freeze(silent)
	}
	return details{}, err
}

// network sets what passes: {"udp": "open" or "silent", "tcp": "open", "silent" or "refused"}.
func (a *admin) network(r *http.Request) (any, error) {
	var asked struct{ UDP, TCP string }
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	if asked.UDP != "" {
		if err := a.socket.treat(asked.UDP); err != nil {
			return nil, err
		}
	}
	if asked.TCP != "" {
		if err := a.tcp.treat(asked.TCP); err != nil {
			return nil, err
		}
	}
	return details{}, nil
}

// h2 is the connection that was asked for, if it is one over HTTP/2.
func (a *admin) h2(r *http.Request) (*h2Link, error) {
	held, err := a.connection(r)
	if err != nil {
		return nil, err
	}
	over, is := held.session.link.(*h2Link)
	if !is {
		return nil, usage("connection %s is not over HTTP/2", held.id)
	}
	return over, nil
}

// ping answers when the client has answered a PING.
func (a *admin) ping(r *http.Request) (any, error) {
	over, err := a.h2(r)
	if err != nil {
		return nil, err
	}
	until, cancel, _ := within(r, nil)
	defer cancel()
	answered := make(chan time.Duration, 1)
	over.ping(func(took time.Duration) { answered <- took })
	select {
	case took := <-answered:
		return details{"seconds": took.Seconds()}, nil
	case <-until.Done():
		return nil, errors.New("the client does not answer a PING")
	}
}

// goAway sends GOAWAY: no new requests go to the connection. Its client leaves when the control stream has ended too.
func (a *admin) goAway(r *http.Request) (any, error) {
	held, err := a.connection(r)
	if err != nil {
		return nil, err
	}
	over, err := a.h2(r)
	if err != nil {
		return nil, err
	}
	var asked struct {
		ErrorCode uint32 `json:"error_code"`
		Reason    string `json:"reason"`
		Control   string `json:"control"` // what happens to the control stream: nothing, fin or reset
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	a.registry.drain(held)
	return details{}, over.goAway(asked.ErrorCode, asked.Reason, asked.Control)
}

// frames writes frames as they are, and tells what came back.
func (a *admin) frames(r *http.Request) (any, error) {
	over, err := a.h2(r)
	if err != nil {
		return nil, err
	}
	var asked framesRequest
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	until, cancel, err := within(r, asked.Timeout)
	if err != nil {
		return nil, err
	}
	defer cancel()
	return over.sendFrames(until, asked)
}

func (a *admin) addRule(r *http.Request) (any, error) {
	var asked ruleRequest
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	made, err := asked.rule()
	if err != nil {
		return nil, usage("%v", err)
	}
	a.registry.mutex.Lock()
	defer a.registry.mutex.Unlock()
	a.registry.rules = append(a.registry.rules, made)
	return details{}, nil
}

func (a *admin) clearRules(*http.Request) (any, error) {
	a.registry.mutex.Lock()
	defer a.registry.mutex.Unlock()
	a.registry.rules = nil
	return details{}, nil
}

// streamRequest is a stream to open: any bytes, or a request.
type streamRequest struct {
	Raw         *string      `json:"raw"`
	Destination string       `json:"dest"`
	Type        string       `json:"type"`
	Metadata    [][2]string  `json:"metadata"`
	Body        string       `json:"body"`
	Fin         *bool        `json:"fin"`
	Timeout     *json.Number `json:"timeout"`
	Fields      [][2]string  `json:"fields"` // HTTP/2: the request's fields as they are
}

// within is the time that the answer has.
func within(r *http.Request, seconds *json.Number) (context.Context, context.CancelFunc, error) {
	limit := streamTimeout
	if seconds != nil {
		var err error
		if limit, err = seconds.Float64(); err != nil {
			return nil, nil, usage("timeout: %v", err)
		}
	}
	made, cancel := context.WithTimeout(r.Context(), time.Duration(limit*float64(time.Second)))
	return made, cancel, nil
}

// ends is whether the stream's end follows the bytes.
func (asked streamRequest) ends() bool { return asked.Fin == nil || *asked.Fin }

func (asked streamRequest) bytes() ([]byte, error) {
	if asked.Raw != nil {
		raw, err := hex.DecodeString(*asked.Raw)
		if err != nil {
			return nil, usage("raw: %v", err)
		}
		return raw, nil
	}
	if asked.Type == "" {
		asked.Type = "http"
	}
	kind, known := kinds[asked.Type]
	if !known {
		return nil, usage("type must be http, websocket or tcp, not %q", asked.Type)
	}
	metadata := make([]pair, len(asked.Metadata))
	for i, entry := range asked.Metadata {
		metadata[i] = pair{entry[0], latin1(entry[1])}
	}
	return append(encodeRequest(asked.Destination, kind, metadata), latin1(asked.Body)...), nil
}

func hexed(data []byte) string { return hex.EncodeToString(data) }

// latin1 gives the bytes that the characters of a text stand for, as JSON has no bytes.
func latin1(text string) string {
	encoded := make([]byte, 0, len(text))
	for _, character := range text {
		encoded = append(encoded, byte(character))
	}
	return string(encoded)
}

func (a *admin) stream(r *http.Request) (any, error) {
	held, err := a.connection(r)
	if err != nil {
		return nil, err
	}
	var asked streamRequest
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	until, cancel, err := within(r, asked.Timeout)
	if err != nil {
		return nil, err
	}
	defer cancel()
	return held.session.link.try(until, asked)
}

func (a *admin) call(r *http.Request) (any, error) {
	held, err := a.connection(r)
	if err != nil {
		return nil, err
	}
	var asked struct {
		Method string        `json:"method"`
		Params callArguments `json:"params"`
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	called, known := methods[asked.Method]
	if !known {
		return nil, usage("method must be one of %v", slices.Sorted(maps.Keys(methods)))
	}
	return held.session.link.call(called, asked.Params)
}

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

	"github.com/quic-go/quic-go"
)

// The control port: the calls and the JSON of the local edge's (actors/local_edge/admin.py), and GET /counters.

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
}

func newAdmin(registry *registry, socket *udpSocket) http.Handler {
	a := &admin{registry, socket}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /connections", answering(a.connections))
	routes.HandleFunc("GET /tunnels", answering(a.tunnels))
	routes.HandleFunc("DELETE /tunnels/{id}", answering(a.dropTunnel))
	routes.HandleFunc("GET /log", answering(a.log))
	routes.HandleFunc("GET /totals", answering(a.totals))
	routes.HandleFunc("GET /counters", answering(a.counters))
	routes.HandleFunc("POST /connections/{id}/drop", answering(a.drop))
	routes.HandleFunc("POST /connections/{id}/freeze", answering(a.freeze))
	routes.HandleFunc("POST /connections/{id}/thaw", answering(a.thaw))
	routes.HandleFunc("POST /connections/{id}/stream", answering(a.stream))
	routes.HandleFunc("POST /connections/{id}/call", answering(a.call))
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
			"id": held.id.String(), "tunnel": held.tunnel.id.String(), "hostname": held.tunnel.hostname,
			"index": held.index, "draining": held.draining, "frozen": held.session.frozen.Load(),
			"client_id": hex.EncodeToString(held.clientID), "version": held.version,
			"rtt": held.session.conn.ConnectionStats().SmoothedRTT.Seconds(),
		})
	}
	return told, nil
}

func (a *admin) tunnels(*http.Request) (any, error) {
	a.registry.mutex.Lock()
	defer a.registry.mutex.Unlock()
	told := []details{}
	for _, made := range a.registry.tunnels {
		told = append(told, details{
			"id": made.id.String(), "hostname": made.hostname, "secret": hex.EncodeToString(made.secret),
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
		held.session.conn.CloseWithError(noError, "the tunnel was dropped")
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
		stats := held.session.conn.ConnectionStats()
		told = append(told, details{
			"id": held.id.String(), "packets_in": stats.PacketsReceived, "packets_out": stats.PacketsSent,
			"bytes_in": stats.BytesReceived, "bytes_out": stats.BytesSent, "packets_lost": stats.PacketsLost,
			"min_rtt": stats.MinRTT.Seconds(),
		})
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
		held.session.freeze(true)
	} else {
		held.session.conn.CloseWithError(quic.ApplicationErrorCode(options.ErrorCode), options.Reason)
	}
	a.registry.note("dropped", details{"connection": held.id.String(), "silent": options.Silent})
	return details{}, nil
}

func (a *admin) freeze(r *http.Request) (any, error) { return a.setFrozen(r, true) }
func (a *admin) thaw(r *http.Request) (any, error)   { return a.setFrozen(r, false) }

func (a *admin) setFrozen(r *http.Request, silent bool) (any, error) {
	held, err := a.connection(r)
	if err == nil {
		held.session.freeze(silent)
	}
	return details{}, err
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
}

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
	output, err := asked.bytes()
	if err != nil {
		return nil, err
	}
	seconds := streamTimeout
	if asked.Timeout != nil {
		if seconds, err = asked.Timeout.Float64(); err != nil {
			return nil, usage("timeout: %v", err)
		}
	}
	within, cancel := context.WithTimeout(r.Context(), time.Duration(seconds*float64(time.Second)))
	defer cancel()
	return exchange(within, held.session.conn, output, asked.Fin == nil || *asked.Fin)
}

// exchange writes bytes on a new stream, and gathers the answer until its end or the time's.
func exchange(within context.Context, conn *quic.Conn, output []byte, fin bool) (any, error) {
	stream, err := conn.OpenStreamSync(within)
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
	return details{"data": hex.EncodeToString(answer), "ended": ended, "stopped": told}, nil
}

func stopped(err error) bool {
	var reset *quic.StreamError
	return errors.As(err, &reset) && reset.Remote
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
	return held.session.call(called, asked.Params)
}

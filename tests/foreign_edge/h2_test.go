package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// The edge over HTTP/2, before a peer that is none of ours: golang.org/x/net's server in the client's part, which is
// what the official client is made of. Its control stream are bytes that a real one sent.

type h2Golden struct {
	Registration struct {
		AccountTag string `json:"account_tag"`
		SecretHex  string `json:"secret_hex"`
		TunnelID   string `json:"tunnel_id"`
	}
	ControlStream struct {
		Messages []string `json:"client_messages_hex"`
	} `json:"control_stream"`
	GracefulEnd struct {
		Messages []string `json:"client_messages_hex"`
	} `json:"graceful_end"`
	Serialized struct {
		String string
		Tokens []struct {
			Name     string
			ValueHex string `json:"value_hex"`
		}
	}
	Exchanges struct {
		Websocket struct{ Response [][2]string }
	}
}

func readH2Golden(t *testing.T) h2Golden {
	text, err := os.ReadFile("../data/wire-http2-golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden h2Golden
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	return golden
}

// goldenControl says what a real client said, and leaves when it is told to.
func goldenControl(golden h2Golden, leave chan struct{}) func(io.Writer, *http.Request) {
	return func(w io.Writer, r *http.Request) {
		say := func(messages []string) {
			for _, message := range messages {
				value, _ := hex.DecodeString(message)
				w.Write(value)
			}
		}
		say(golden.ControlStream.Messages)
		go io.Copy(io.Discard, r.Body)
		select {
		case <-leave:
			say(golden.GracefulEnd.Messages)
		case <-r.Context().Done():
		}
	}
}

// dialled is a client that a test made.
type dialled struct {
	unreg chan struct{} // closed by a test that wants the client to leave
	ended chan struct{} // closed with the connection
}

// world is an edge over TCP with a front, and a tunnel that the golden registration names.
type world struct {
	*testing.T
	registry *registry
	edge     *tcpEdge
	roots    *x509.CertPool
	golden   h2Golden
	front    string
	control  http.Handler
}

func newWorld(t *testing.T) *world {
	t.Helper()
	authority, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	conn, listener, err := bindBoth("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, registry: &registry{}, roots: x509.NewCertPool(), golden: readH2Golden(t)}
	w.roots.AppendCertsFromPEM(authority.pem)
	w.edge = newTCPEdge(listener, authority, w.registry)
	go w.edge.serve(listener)
	secret, _ := hex.DecodeString(w.golden.Registration.SecretHex)
	id, _ := hex.DecodeString(strings.ReplaceAll(w.golden.Registration.TunnelID, "-", ""))
	w.registry.tunnels = []*tunnel{{
		id: uuid(id), given: "x", accountTag: w.golden.Registration.AccountTag, secret: secret,
	}}
	front := httptest.NewUnstartedServer(nil)
	front.Config = newFront(w.registry)
	front.Start()
	w.front = front.URL
	w.control = newAdmin(w.registry, newUDPSocket(conn), w.edge, "localhost:1")
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		w.edge.stop()
		conn.Close()
	})
	return w
}

func (w *world) dial() *dialled {
	w.Helper()
	conn, err := tls.Dial("tcp", w.edge.address, &tls.Config{RootCAs: w.roots, ServerName: h2Name})
	if err != nil {
		w.Fatal(err)
	}
	if conn.ConnectionState().NegotiatedProtocol != "" {
		w.Error("ALPN was negotiated")
	}
	client := &dialled{make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(client.ended)
		serveAsClient(conn, goldenControl(w.golden, client.unreg))
	}()
	w.Cleanup(func() { conn.Close(); <-client.ended })
	return client
}

// noted waits for an event in the edge's log.
func (w *world) noted(event string) details {
	w.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		w.registry.mutex.Lock()
		at := slices.IndexFunc(w.registry.log, func(d details) bool { return d["event"] == event })
		var found details
		if at >= 0 {
			found = w.registry.log[at]
		}
		w.registry.mutex.Unlock()
		if found != nil {
			return found
		}
	}
	w.Fatalf("no %q in %v", event, w.registry.log)
	return nil
}

func (w *world) registered() *dialled {
	w.Helper()
	client := w.dial()
	w.noted("registered")
	return client
}

func (w *world) visit(method, path string, body io.Reader) (*http.Response, string, error) {
	request, _ := http.NewRequest(method, w.front+path, body)
	request.Host = "x"
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	return response, string(got), err
}

// order calls the control port on the one connection.
func (w *world) order(what, body string) map[string]any {
	w.Helper()
	w.registry.mutex.Lock()
	id := w.registry.connections[0].id.String()
	w.registry.mutex.Unlock()
	answer := httptest.NewRecorder()
	request := httptest.NewRequest("POST", "/connections/"+id+"/"+what, strings.NewReader(body))
	w.control.ServeHTTP(answer, request)
	var told map[string]any
	json.Unmarshal(answer.Body.Bytes(), &told)
	if answer.Code != 200 {
		w.Fatalf("%s: %d %s", what, answer.Code, answer.Body)
	}
	return told
}

func TestRegistrationOverHTTP2(t *testing.T) {
	w := newWorld(t)
	client := w.registered()
	if address := w.noted("registered")["origin_local_ip"]; address != "00000000000000000000ffff7f000001" {
		t.Error(address)
	}
	if config := w.noted("configuration")["config"].(string); config[0] != '{' {
		t.Error(config)
	}
	close(client.unreg)
	w.noted("unregistered")
	<-client.ended // the edge closes what is not needed any more
}

func TestRefusalEndsWithTheEdgeClosing(t *testing.T) {
	w := newWorld(t)
	w.registry.tunnels[0].secret = []byte("another")
	client := w.dial()
	if cause := w.noted("refused")["cause"]; cause != "Unauthorized: Invalid tunnel secret" {
		t.Error(cause)
	}
	close(client.unreg)
	<-client.ended
}

func TestRequestsOverHTTP2(t *testing.T) {
	w := newWorld(t)
	w.registered()
	for _, size := range []int{0, 5, 3_000_000} {
		response, body, err := w.visit("POST", "/echo", bytes.NewReader(bytes.Repeat([]byte("x"), size)))
		if err != nil || len(body) != size || response.Header.Get("X-Length") != fmt.Sprint(size) ||
			response.Header.Get("X-Host") != "x" || response.Header.Get("X-Forwarded-Proto") != "https" {
			t.Error(size, response, len(body), err)
		}
	}
	response, body, err := w.visit("POST", "/echo", io.MultiReader(strings.NewReader("un"), strings.NewReader("known")))
	if err != nil || body != "unknown" || response.Header.Get("X-Length") != "-1" {
		t.Error(response, body, err)
	}
	if _, body, err := w.visit("GET", "/large", nil); err != nil || len(body) != 20_000_000 {
		t.Error(len(body), err)
	}
	if response, body, err := w.visit("GET", "/trailers", nil); body != "body" || response.Trailer.Get("Grpc-Status") != "0" {
		t.Error(response, err)
	}
	if _, body, err := w.visit("GET", "/broken", nil); err == nil {
		t.Errorf("a broken answer was taken for a whole one: %q", body)
	}
	if response, body, _ := w.visit("GET", "/down", nil); response.StatusCode != 502 || !strings.Contains(body, "by itself") {
		t.Error(response, body)
	}
	if response, _, err := w.visit("POST", "/early", io.LimitReader(endless{}, 5_000_000)); err != nil || response.StatusCode != 413 {
		t.Error(response, err)
	}
	if response, _, err := w.visit("GET", "/none", nil); err != nil || response.StatusCode != 404 {
		t.Error(response, err)
	}
}

type endless struct{}

func (endless) Read(into []byte) (int, error) { return len(into), nil }

// As gRPC does: HTTP/2 in plain text, a body whose length is not known, an answer that begins before it ends, trailers.
func TestVisitorOverHTTP2(t *testing.T) {
	w := newWorld(t)
	w.registered()
	plain := &http2.Transport{AllowHTTP: true, DialTLSContext: func(
		within context.Context, network, address string, _ *tls.Config,
	) (net.Conn, error) {
		return new(net.Dialer).DialContext(within, network, address)
	}}
	defer plain.CloseIdleConnections()
	body, send := io.Pipe()
	request, _ := http.NewRequest("POST", w.front+"/echo", body)
	request.Host = "x"
	request.Header.Set("Te", "trailers")
	response, err := plain.RoundTrip(request)
	if err != nil || response.Header.Get("X-Te") != "trailers" || response.Header.Get("X-Length") != "-1" {
		t.Fatal(response, err)
	}
	for range 3 {
		send.Write([]byte("ping"))
		if _, err := io.ReadFull(response.Body, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
	}
	send.Close()
	if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
		t.Error(rest, err)
	}
	request, _ = http.NewRequest("GET", w.front+"/trailers", nil)
	request.Host = "x"
	response, err = plain.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(response.Body); string(got) != "body" || response.Trailer.Get("Grpc-Status") != "0" {
		t.Error(got, response, err)
	}
}

func TestManyAtOnceOverHTTP2(t *testing.T) {
	w := newWorld(t)
	w.registered()
	ended := make(chan error)
	for i := range 100 {
		go func() {
			sent := strings.Repeat(fmt.Sprint(i%10), 100_000)
			_, body, err := w.visit("POST", "/echo", strings.NewReader(sent))
			if err == nil && body != sent {
				err = fmt.Errorf("%d bytes came back", len(body))
			}
			ended <- err
		}()
	}
	for range 100 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestVisitorWhoLeavesEndsTheStream(t *testing.T) {
	w := newWorld(t)
	client := w.registered()
	within, cancel := context.WithCancel(context.Background())
	request, _ := http.NewRequestWithContext(within, "GET", w.front+"/wait", nil)
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	response.Body.Close()
	close(client.unreg)
	<-client.ended // it would not, with a stream open
}

func TestWebSocketOverHTTP2(t *testing.T) {
	w := newWorld(t)
	w.registered()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.front, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n")
	var got []byte
	for !bytes.HasSuffix(got, []byte("\r\n\r\n")) {
		one := make([]byte, 1)
		if _, err := conn.Read(one); err != nil {
			t.Fatal(err)
		}
		got = append(got, one...)
	}
	if !bytes.HasPrefix(got, []byte("HTTP/1.1 101 ")) || !bytes.Contains(got, []byte("Upgrade: websocket")) {
		t.Fatalf("%s", got)
	}
	conn.Write([]byte("hello"))
	conn.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(conn); err != nil || string(rest) != "hello" {
		t.Fatal(rest, err)
	}
}

func TestOrdersOverHTTP2(t *testing.T) {
	w := newWorld(t)
	client := w.registered()
	if took := w.order("ping", "")["seconds"].(float64); took <= 0 {
		t.Error(took)
	}
	told := w.order("call", `{"method":"updateConfiguration","params":{"version":7,"config":"7b7d"}}`)
	if told["result"].(map[string]any)["latestAppliedVersion"] != 7.0 ||
		!strings.Contains(told["result"].(map[string]any)["err"].(string), `{\"version\":7,\"config\":{}}`) {
		t.Error(told)
	}
	told = w.order("stream", `{"dest":"https://x/echo","metadata":[["HttpMethod","POST"],["HttpHost","x"]],"body":"abc"}`)
	data, _ := hex.DecodeString(told["data"].(string))
	failure, metadata, err := decodeResponse(bytes.NewReader(data))
	if told["ended"] != "fin" || failure != "" || err != nil || metadata[0] != (pair{"HttpStatus", "200"}) || !bytes.HasSuffix(data, []byte("abc")) {
		t.Error(told, metadata)
	}
	told = w.order("stream", `{"fields":[[":method","GET"],[":scheme","https"],[":authority","x"],[":path","/echo"],["X-Upper","1"]]}`)
	if told["ended"] != "reset" || told["code"] != 1.0 {
		t.Error(told)
	}
	told = w.order("stream", `{"dest":"https://x/wait","timeout":0.1}`)
	if told["ended"] != "open" {
		t.Error(told)
	}
	// A stream that begins with DATA ends the connection; a frame of an unknown type is ignored.
	told = w.order("frames", `{"frames":[{"type":200,"flags":0,"payload":"00"}],"timeout":0.1}`)
	if told["alive"] != true {
		t.Error(told)
	}
	told = w.order("frames", `{"frames":[{"type":1,"flags":5,"fields":[[":method","GET"],[":scheme","https"],[":path","/early"]]}]}`)
	if frames := told["frames"].([]any); len(frames) == 0 || frames[0].([]any)[0] != "HEADERS" || told["alive"] != true {
		t.Error(told)
	}
	w.order("frames", `{"frames":[{"type":0,"flags":0,"payload":"00"}],"timeout":5}`)
	<-client.ended
	if closed := w.noted("closed"); closed["error_code"] != uint64(1) {
		t.Error(closed)
	}
}

func TestGoAwayIsFollowed(t *testing.T) {
	w := newWorld(t)
	client := w.registered()
	w.order("goaway", `{"control":"reset"}`)
	if w.registry.route("x") != nil {
		t.Error("requests still go there")
	}
	<-client.ended
}

func TestSilence(t *testing.T) {
	w := newWorld(t)
	w.registered()
	if err := w.edge.treat(networkSilent); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", w.edge.address); err == nil {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
		if err := tls.Client(conn, &tls.Config{RootCAs: w.roots, ServerName: h2Name}).Handshake(); err == nil {
			t.Error("a silent network answers")
		}
	}
	w.edge.treat(networkOpen)
	if _, body, err := w.visit("POST", "/echo", strings.NewReader("alive")); err != nil || body != "alive" {
		t.Error(body, err)
	}
	w.edge.treat(networkRefused)
	w.noted("closed")
	if conn, err := net.Dial("tcp", w.edge.address); err == nil {
		conn.Close()
		t.Error("nobody should listen")
	}
	w.edge.treat(networkOpen)
	w.dial()
	if response, _, err := w.visit("GET", "/none", nil); err != nil || response.StatusCode != 404 && response.StatusCode != 530 {
		t.Error(response, err)
	}
}

func TestTargetsStayAsTheyAre(t *testing.T) {
	for destination, want := range map[string][2]string{
		"https://x/a\x00b?c#d": {"x", "/a\x00b?c#d"}, "https://x": {"x", "/"}, "https://x?a": {"x", "?a"}, "*": {"", "*"},
	} {
		if host, target := parted(destination); host != want[0] || target != want[1] {
			t.Errorf("%q: %q %q", destination, host, target)
		}
	}
}

func TestSerializedHeadersOfARealClient(t *testing.T) {
	golden := readH2Golden(t)
	pairs, err := deserialize(golden.Serialized.String)
	if err != nil || len(pairs) != len(golden.Serialized.Tokens) {
		t.Fatal(pairs, err)
	}
	for i, token := range golden.Serialized.Tokens {
		if value, _ := hex.DecodeString(token.ValueHex); pairs[i] != (pair{token.Name, string(value)}) {
			t.Error(pairs[i])
		}
	}
	for _, bad := range []string{"WA", "WA:WA:WA", "WA==:WA", "W:A", "W!:WA"} {
		if _, err := deserialize(bad); err == nil {
			t.Error(bad)
		}
	}
}

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// What tests send over HTTP/2: requests in QUIC's words, fields and frames as they are, configurations.

// fieldsOf gives a request that is said in QUIC's metadata, or as fields, as fields. Those that are not legal stay.
func (asked streamRequest) fieldsOf() ([]hpack.HeaderField, error) {
	var fields []hpack.HeaderField
	add := func(name, value string) { fields = append(fields, hpack.HeaderField{Name: name, Value: latin1(value)}) }
	if asked.Fields != nil {
		for _, field := range asked.Fields {
			add(field[0], field[1])
		}
		return fields, nil
	}
	if asked.Raw != nil {
		return nil, usage("a stream over HTTP/2 has no raw bytes: send frames")
	}
	host, target := parted(asked.Destination)
	method := "GET"
	for _, entry := range asked.Metadata {
		switch entry[0] {
		case "HttpMethod":
			method = entry[1]
		case "HttpHost":
			host = entry[1]
		}
	}
	add(":method", method)
	add(":scheme", "https")
	add(":authority", host)
	fields = append(fields, hpack.HeaderField{Name: ":path", Value: target})
	switch asked.Type {
	case "websocket":
		add(kindField, kindOfUpgrade)
	case "tcp":
		add(tcpField, "127.0.0.9")
	}
	for _, entry := range asked.Metadata {
		name, is := strings.CutPrefix(entry[0], "HttpHeader:")
		if is && !strings.EqualFold(name, "Transfer-Encoding") { // which a body without a length says by itself
			add(strings.ToLower(name), entry[1])
		}
	}
	return fields, nil
}

// parted gives the authority and the target of a URL, whatever bytes it has: what is not legal is to arrive.
func parted(destination string) (string, string) {
	_, rest, is := strings.Cut(destination, "://")
	if !is {
		return "", destination
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return rest, "/"
	}
	return rest[:end], rest[end:]
}

// try opens a stream, and gathers the answer until its end or the time's. `data` is what QUIC would have brought.
func (l *h2Link) try(within context.Context, asked streamRequest) (details, error) {
	fields, err := asked.fieldsOf()
	if err != nil {
		return nil, err
	}
	method, _ := fieldOf(fields, ":method")
	stream := &h2Stream{kind: kinds[asked.Type], isHead: method == "HEAD", sentEnd: asked.ends() && asked.Body == ""}
	if err := l.begin(within, stream, fields); err != nil {
		return details{"data": "", "ended": "open", "stopped": false}, nil
	}
	timedOut := fmt.Errorf("the time is over")
	defer context.AfterFunc(within, func() {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		if stream.failure == nil && !stream.peerEnded {
			stream.reset(http2.ErrCodeCancel)
			stream.failure = timedOut
		}
	})()
	go func() {
		if _, err := io.WriteString(stream, latin1(asked.Body)); err == nil && asked.ends() {
			stream.CloseWrite()
		}
	}()
	told := details{"data": "", "fields": [][2]string{}, "trailers": nil}
	answered, err := stream.head()
	var body []byte
	if err == nil {
		told["fields"] = namesAndValues(answered)
		body, err = io.ReadAll(io.LimitReader(stream, maxAnswer))
		told["data"] = hexed(append(asQUIC(answered, stream.kind), body...))
		told["trailers"] = map[string][]string(stream.trailer())
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	told["body"], told["stopped"], told["code"] = hexed(body), stream.stopped, uint32(stream.code)
	switch {
	case err == nil && stream.peerEnded:
		told["ended"] = "fin"
	case stream.failure == timedOut || err == nil:
		told["ended"] = "open"
	default:
		told["ended"] = "reset"
	}
	stream.reset(http2.ErrCodeCancel) // without effect on one that has ended
	return told, nil
}

// asQUIC gives an answer's head as it would have come over QUIC.
func asQUIC(fields []hpack.HeaderField, kind int) []byte {
	header := http.Header{}
	status, err := readAnswerFields(fields, kind, header)
	if err != nil {
		text, _ := fieldOf(fields, ":status")
		return encodeResponse(fmt.Sprintf("%s: %v", text, err), nil)
	}
	metadata := []pair{{"HttpStatus", strconv.Itoa(status)}}
	for name, values := range header {
		for _, value := range values {
			metadata = append(metadata, pair{"HttpHeader:" + name, value})
		}
	}
	return encodeResponse("", metadata)
}

func namesAndValues(fields []hpack.HeaderField) [][2]string {
	told := make([][2]string, len(fields))
	for i, field := range fields {
		told[i] = [2]string{field.Name, field.Value}
	}
	return told
}

// --- frames ---

// frameOrder is a frame to send. Its payload is bytes, or a header block of fields, none of which enters a table.
type frameOrder struct {
	Type    uint8       `json:"type"`
	Flags   uint8       `json:"flags"`
	Stream  *uint32     `json:"stream"` // without one: a new one, the same for all frames of an order
	Payload string      `json:"payload"`
	Fields  [][2]string `json:"fields"`
}

type framesRequest struct {
	Frames  []frameOrder `json:"frames"`
	Timeout *json.Number `json:"timeout"`
}

func (asked frameOrder) payload() ([]byte, error) {
	if asked.Fields == nil {
		payload, err := hex.DecodeString(asked.Payload)
		if err != nil {
			return nil, usage("payload: %v", err)
		}
		return payload, nil
	}
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	for _, field := range asked.Fields {
		encoder.WriteField(hpack.HeaderField{Name: field[0], Value: latin1(field[1]), Sensitive: true})
	}
	return []byte(block.String()), nil
}

// sendFrames writes frames, on a new stream those that name none, and tells what came on that until its end, the
// connection's, or the time's.
func (l *h2Link) sendFrames(within context.Context, asked framesRequest) (any, error) {
	payloads := make([][]byte, len(asked.Frames))
	opens := false
	for i, frame := range asked.Frames {
		var err error
		if payloads[i], err = frame.payload(); err != nil {
			return nil, err
		}
		opens = opens || frame.Stream == nil
	}
	came := [][]any{}
	stream := &h2Stream{watch: func(frame http2.Frame) { came = append(came, described(frame)) }}
	if _, err := l.takePlace(within); err != nil {
		return nil, err
	}
	err := l.write(func() error {
		if opens {
			l.number(stream)
		}
		for i, frame := range asked.Frames {
			id := stream.id
			if frame.Stream != nil {
				id = *frame.Stream
			}
			if err := l.framer.WriteRawFrame(http2.FrameType(frame.Type), http2.Flags(frame.Flags), id, payloads[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(within, func() {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		l.changed.Broadcast()
	})()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !opens {
		l.opening--
	}
	for l.failure == nil && within.Err() == nil && !(opens && (stream.failure != nil || stream.peerEnded)) {
		l.changed.Wait()
	}
	if opens && l.streams[stream.id] == stream {
		if slices.ContainsFunc(asked.Frames, func(sent frameOrder) bool {
			return sent.Stream == nil && http2.FrameType(sent.Type) == http2.FrameHeaders
		}) {
			stream.reset(http2.ErrCodeCancel)
		} else { // it was never opened
			stream.fail(errReset)
		}
	}
	told := details{"stream": stream.id, "frames": came, "alive": l.failure == nil, "goaway": nil}
	if l.farewell != nil {
		told["goaway"] = uint32(l.farewell.ErrCode)
	}
	return told, nil
}

// described tells a frame: type, flags, and what it says.
func described(frame http2.Frame) []any {
	header := frame.Header()
	told := []any{header.Type.String(), uint8(header.Flags)}
	switch frame := frame.(type) {
	case *http2.DataFrame:
		return append(told, hexed(frame.Data()))
	case *http2.MetaHeadersFrame:
		return append(told, namesAndValues(slices.Clone(frame.Fields)))
	case *http2.RSTStreamFrame:
		return append(told, uint32(frame.ErrCode))
	case *http2.WindowUpdateFrame:
		return append(told, frame.Increment)
	}
	return told
}

// --- calls ---

// call: over HTTP/2 there is one, which is a request.
func (l *h2Link) call(called method, arguments callArguments) (map[string]any, error) {
	if called.interfaceID != configurationManager {
		return nil, usage("over HTTP/2 there is no such call")
	}
	config, err := hex.DecodeString(arguments.Config)
	if err != nil {
		return nil, usage("config: %v", err)
	}
	if len(config) == 0 {
		config = []byte("null")
	}
	within, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	stream := &h2Stream{}
	if err := l.begin(within, stream, []hpack.HeaderField{
		{Name: ":method", Value: "PUT"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: h2Name},
		{Name: ":path", Value: "/"}, {Name: kindField, Value: kindOfUpdate},
	}); err != nil {
		return nil, err
	}
	defer context.AfterFunc(within, stream.abandon)()
	fmt.Fprintf(stream, `{"version":%d,"config":%s}`, arguments.Version, config)
	stream.CloseWrite()
	fields, err := stream.head()
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(stream, maxAnswer))
	if err != nil {
		return nil, err
	}
	if status, _ := fieldOf(fields, ":status"); status != "200" {
		return nil, fmt.Errorf("the client answered %s", status)
	}
	var answer struct {
		Version *int32          `json:"lastAppliedVersion"`
		Err     json.RawMessage `json:"err"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Version == nil || answer.Err == nil {
		return nil, fmt.Errorf("the client answered %q", body)
	}
	failure := string(answer.Err) // any value: only whether it is null can be relied on
	if failure == "null" {
		failure = ""
	} else {
		json.Unmarshal(answer.Err, &failure)
	}
	return map[string]any{"result": map[string]any{"latestAppliedVersion": *answer.Version, "err": failure}}, nil
}

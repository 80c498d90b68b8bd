package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"reflect"
	"slices"
	"testing"
)

// The codec against bytes that real Go peers sent (tests/data/wire-golden.json), and against hostile ones.

type goldenEntry struct {
	Message, Method, Hex string
	Fields               map[string]any
}

func golden(t testing.TB, what string) []goldenEntry {
	text, err := os.ReadFile("../data/wire-golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	var entries []goldenEntry
	if err := json.Unmarshal(all[what], &entries); err != nil {
		t.Fatal(err)
	}
	return entries
}

func unhex(t testing.TB, text string) []byte {
	value, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

type conversation struct {
	io.Reader
	bytes.Buffer
}

func (c *conversation) Read(into []byte) (int, error)  { return c.Reader.Read(into) }
func (c *conversation) Write(from []byte) (int, error) { return c.Buffer.Write(from) }

type recordedCalls struct {
	registered   registrationParams
	unregistered int
	config       string
	answer       func(b *builder, at int)
}

func (r *recordedCalls) register(asked registrationParams) func(b *builder, at int) {
	r.registered = asked
	return r.answer
}
func (r *recordedCalls) unregister()             { r.unregistered++ }
func (r *recordedCalls) configure(config []byte) { r.config = string(config) }

func TestControlStreamOfARealClient(t *testing.T) {
	var input []byte
	for _, entry := range golden(t, "client_control_stream") {
		input = append(input, unhex(t, entry.Hex)...)
	}
	id := uuid(unhex(t, "a6639756e54542aa990a762f6c30b20f"))
	calls := &recordedCalls{answer: func(b *builder, at int) { writeDetails(b, at, id, false) }}
	stream := &conversation{Reader: bytes.NewReader(input)}
	if err := serveControl(stream, calls); err == nil || err.Error() != "the client aborts: rpc: shutdown" {
		t.Fatal(err)
	}
	got := calls.registered
	if got.accountTag != "5ab4e9dfbd435d24068829fda0077963" || got.version != "DEV" || got.arch != "linux_amd64" ||
		hex.EncodeToString(got.clientID) != "e6f56e30b35d426c9d5b3028d7b72d9c" || len(got.features) != 5 ||
		got.features[0] != "support_datagram_v2" || len(got.secret) != 32 || got.index != 0 || got.replaceExisting {
		t.Fatalf("%+v", got)
	}
	if calls.unregistered != 1 || calls.config[0] != '{' {
		t.Fatalf("%+v", calls)
	}
	// What was answered first means what the real edge's answers mean.
	for _, entry := range golden(t, "edge_control_stream") {
		ours, err := readMessage(&stream.Buffer)
		if err != nil {
			t.Fatal(err)
		}
		theirs, _ := readMessage(bytes.NewReader(unhex(t, entry.Hex)))
		ourReturn, theirReturn := ours.root().structure(0), theirs.root().structure(0)
		if !bytes.Equal(ourReturn.data[:8], theirReturn.data[:8]) {
			t.Fatalf("%s: %x", entry.Message, ourReturn.data)
		}
		answer := func(returned structReader) (uint16, []byte, string) {
			union := returned.structure(0).structure(0).structure(0)
			told := union.structure(0)
			return union.u16(0), told.dataAt(0), told.textAt(1)
		}
		if entry.Fields["uuid"] != nil && !reflect.DeepEqual(first3(answer(ourReturn)), first3(answer(theirReturn))) {
			t.Fatalf("%x", ourReturn.data)
		}
		if ours.err != nil {
			t.Fatal(ours.err)
		}
	}
}

func first3(a uint16, b []byte, c string) []any { return []any{a, b, c} }

func TestRequestsAreTheRealEdgesBytes(t *testing.T) {
	for _, entry := range golden(t, "edge_request_streams") {
		var metadata []pair
		for _, each := range entry.Fields["metadata"].([]any) {
			two := each.([]any)
			metadata = append(metadata, pair{two[0].(string), two[1].(string)})
		}
		kind := kinds[entry.Fields["type"].(string)]
		got := append(encodeRequest(entry.Fields["dest"].(string), kind, metadata), entry.Fields["body"].(string)...)
		if hex.EncodeToString(got) != entry.Hex {
			t.Errorf("%s:\n%x", entry.Fields["dest"], got)
		}
	}
}

func TestResponsesOfARealClient(t *testing.T) {
	for _, entry := range golden(t, "client_responses") {
		from := bytes.NewReader(unhex(t, entry.Hex))
		failure, metadata, err := decodeResponse(from)
		if err != nil || failure != "" {
			t.Fatal(failure, err)
		}
		var want []pair
		for _, each := range entry.Fields["metadata"].([]any) {
			two := each.([]any)
			want = append(want, pair{two[0].(string), two[1].(string)})
		}
		if body, _ := io.ReadAll(from); !slices.Equal(metadata, want) || string(body) != entry.Fields["body"] {
			t.Errorf("%q %q", metadata, body)
		}
	}
}

// The same response in several segments: a far pointer to the list, a double far pointer to a text.
func TestFarPointers(t *testing.T) {
	words := func(values ...uint64) []byte {
		var made []byte
		for _, value := range values {
			made = append(made, byte(value), byte(value>>8), byte(value>>16), byte(value>>24),
				byte(value>>32), byte(value>>40), byte(value>>48), byte(value>>56))
		}
		return made
	}
	abc := uint64('a') | 'b'<<8 | 'c'<<16
	segments := [][]byte{
		words(2 | 0<<3 | 1<<32),              // root: in segment 1
		words(0|0<<2|2<<48, 6|0<<3|2<<32, 0), // landing pad: a struct of two pointers, behind it
		words(2|0<<3|3<<32, 1|2<<32|4<<35),   // landing pad of two words: a text of 4 bytes in segment 3
		words(abc),
	}
	encoded := []byte{3, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}
	encoded = append(encoded, bytes.Join(segments, nil)...)
	m, err := readMessage(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.root().textAt(0); got != "abc" || m.err != nil {
		t.Fatalf("%q %v", got, m.err)
	}
}

func FuzzMessages(f *testing.F) {
	for _, what := range []string{"client_control_stream", "edge_control_stream"} {
		for _, entry := range golden(f, what) {
			f.Add(unhex(f, entry.Hex))
		}
	}
	for _, entry := range golden(f, "client_responses") {
		f.Add(unhex(f, entry.Hex)[8:])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		stream := &conversation{Reader: bytes.NewReader(data)}
		serveControl(stream, &recordedCalls{})
		decodeResponse(bytes.NewReader(append(append(slices.Clone(dataSignature), dataVersion...), data...)))
		converse(&conversation{Reader: bytes.NewReader(data)}, methods["registerUdpSession"], callArguments{})
		converse(&conversation{Reader: bytes.NewReader(data)}, methods["updateConfiguration"], callArguments{Waits: true})
	})
}

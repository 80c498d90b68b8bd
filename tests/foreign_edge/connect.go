package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// The heads of request streams: six bytes of signature, two of version, one message.

var (
	dataSignature = []byte{0x0A, 0x36, 0xCD, 0x12, 0xA1, 0x3E}
	rpcSignature  = []byte{0x52, 0xBB, 0x82, 0x5C, 0xDB, 0x65}
	dataVersion   = []byte("01")
)

// Kinds of a ConnectRequest.
const (
	kindHTTP = iota
	kindWebSocket
	kindTCP
)

var kinds = map[string]int{"http": kindHTTP, "websocket": kindWebSocket, "tcp": kindTCP}

type pair struct{ key, value string }

// encodeRequest gives the head of a request stream.
func encodeRequest(destination string, kind int, metadata []pair) []byte {
	size := 256 + len(destination)
	for _, entry := range metadata {
		size += len(entry.key) + len(entry.value) + 40
	}
	b := newBuilder(size)
	request := b.structure(rootPointer, 1, 2)
	b.put16(request.data, uint16(kind))
	b.text(request.pointer(0), destination)
	first := b.structures(request.pointer(1), len(metadata), 0, 2)
	for i, entry := range metadata {
		b.text(first+16*i, entry.key)
		b.text(first+16*i+8, entry.value)
	}
	head := make([]byte, 0, 8+len(b.bytes))
	head = append(append(head, dataSignature...), dataVersion...)
	return append(head, b.finish()...)
}

// encodeResponse gives the head of an answer.
func encodeResponse(failure string, metadata []pair) []byte {
	b := newBuilder(1024)
	response := b.structure(rootPointer, 0, 2)
	b.text(response.pointer(0), failure)
	first := b.structures(response.pointer(1), len(metadata), 0, 2)
	for i, entry := range metadata {
		b.text(first+16*i, entry.key)
		b.text(first+16*i+8, entry.value)
	}
	head := append(append([]byte(nil), dataSignature...), dataVersion...)
	return append(head, b.finish()...)
}

var errNotData = errors.New("the client's answer does not begin with the signature of data")

// decodeResponse reads the head of an answer: its error, or its metadata.
func decodeResponse(from io.Reader) (string, []pair, error) {
	var preamble [8]byte
	if _, err := io.ReadFull(from, preamble[:]); err != nil {
		return "", nil, err
	}
	if !bytes.Equal(preamble[:6], dataSignature) {
		return "", nil, errNotData
	}
	if !bytes.Equal(preamble[6:], dataVersion) {
		return "", nil, fmt.Errorf("the client answers with version %q", preamble[6:])
	}
	m, err := readMessage(from)
	if err != nil {
		return "", nil, unexpected(err)
	}
	response := m.root()
	failure, entries := response.textAt(0), response.list(1)
	metadata := make([]pair, len(entries))
	for i, entry := range entries {
		metadata[i] = pair{entry.textAt(0), entry.textAt(1)}
	}
	return failure, metadata, m.err
}

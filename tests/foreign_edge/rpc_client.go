package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// Calls that the edge makes on the client (CloudflaredServer), on a stream of their own.

const callTimeout = 5 * time.Second // what a client has for its answer

// callArguments are those of all methods, as the control port reads them.
type callArguments struct {
	Version            int32  `json:"version"`
	Config             string `json:"config"`
	SessionID          string `json:"sessionId"`
	DestinationIP      string `json:"dstIp"`
	DestinationPort    uint16 `json:"dstPort"`
	CloseAfterIdleHint int64  `json:"closeAfterIdleHint"`
	Message            string `json:"message"`
}

// method is one of the client's: its numbers, how its parameters are written and its results read.
type method struct {
	interfaceID uint64
	number      uint16
	write       func(b *builder, at int, arguments callArguments) error
	read        func(results structReader) map[string]any
}

var methods = map[string]method{
	"registerUdpSession": {sessionManager, 0,
		func(b *builder, at int, arguments callArguments) error {
			params := b.structure(at, 2, 3)
			b.put16(params.data, arguments.DestinationPort)
			b.put64(params.data+8, uint64(arguments.CloseAfterIdleHint))
			if err := b.hex(params.pointer(0), arguments.SessionID); err != nil {
				return err
			}
			return b.hex(params.pointer(1), arguments.DestinationIP)
		},
		func(results structReader) map[string]any {
			result := results.structure(0)
			told := map[string]any{"err": result.textAt(0), "spans": hex.EncodeToString(result.dataAt(1))}
			return map[string]any{"result": told}
		}},
	"unregisterUdpSession": {sessionManager, 1,
		func(b *builder, at int, arguments callArguments) error {
			params := b.structure(at, 0, 2)
			b.text(params.pointer(1), arguments.Message)
			return b.hex(params.pointer(0), arguments.SessionID)
		},
		func(structReader) map[string]any { return map[string]any{} }},
	"updateConfiguration": {configurationManager, 0,
		func(b *builder, at int, arguments callArguments) error {
			params := b.structure(at, 1, 1)
			b.put32(params.data, uint32(arguments.Version))
			return b.hex(params.pointer(0), arguments.Config)
		},
		func(results structReader) map[string]any {
			result := results.structure(0)
			told := map[string]any{"latestAppliedVersion": int32(result.u32(0)), "err": result.textAt(0)}
			return map[string]any{"result": told}
		}},
}

func (b *builder) hex(at int, text string) error {
	value, err := hex.DecodeString(text)
	if err == nil {
		b.data(at, value)
	}
	return err
}

// encodeCall gives Bootstrap and a Call that is pipelined on its promise, for one write.
func encodeCall(called method, arguments callArguments) ([]byte, error) {
	b, bootstrap := newRPC(rpcBootstrap, 1, 1)
	b.put32(bootstrap.data, 0)
	output := append(append([]byte(nil), rpcSignature...), b.finish()...)
	b, call := newRPC(rpcCall, 3, 3)
	b.put32(call.data, 1)
	b.put16(call.data+4, called.number)
	b.put64(call.data+8, called.interfaceID)
	target := b.structure(call.pointer(0), 1, 1)
	b.put16(target.data+4, 1) // promisedAnswer, of question 0
	b.structure(target.pointer(0), 1, 1)
	params := b.structure(call.pointer(1), 0, 2)
	if err := called.write(b, params.pointer(0), arguments); err != nil {
		return nil, err
	}
	return append(output, b.finish()...), nil
}

// readAnswer reads the client's messages up to the Return of the call.
func readAnswer(from io.Reader, called method) (map[string]any, error) {
	for {
		m, err := readMessage(from)
		if err != nil {
			return nil, fmt.Errorf("the client's answer: %w", unexpected(err))
		}
		root := m.root()
		kind, body := root.u16(0), root.structure(0)
		switch {
		case kind == rpcAbort:
			return nil, fmt.Errorf("the client aborts: %s", body.textAt(0))
		case kind == rpcUnimplemented:
			return nil, fmt.Errorf("the client does not implement it")
		case kind == rpcReturn && body.u32(0) == 1:
			if union := body.u16(6); union != 0 {
				return nil, fmt.Errorf("the client answered with %d: %s", union, body.structure(0).textAt(0))
			}
			results := called.read(body.structure(0).structure(0))
			return results, m.err
		}
		if m.err != nil {
			return nil, m.err
		}
	}
}

// finishes ends both questions.
func finishes() []byte {
	var output []byte
	for question := range uint32(2) {
		b, finish := newRPC(rpcFinish, 1, 0)
		b.put32(finish.data, question)
		b.bytes[finish.data+4] = 1 // releaseResultCaps: false
		output = append(output, b.finish()...)
	}
	return output
}

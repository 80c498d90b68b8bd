package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// Calls that the edge makes on the client (CloudflaredServer), on a stream of their own.

const callTimeout = 5 * time.Second // what a client has for its answer

// shutdown is how Go's end of a conversation says that it has what it wanted.
const shutdown = "rpc: shutdown"

// callArguments are those of all methods, as the control port reads them.
type callArguments struct {
	Version            int32  `json:"version"`
	Config             string `json:"config"`
	SessionID          string `json:"sessionId"`
	DestinationIP      string `json:"dstIp"`
	DestinationPort    uint16 `json:"dstPort"`
	CloseAfterIdleHint int64  `json:"closeAfterIdleHint"`
	Message            string `json:"message"`

	Waits bool `json:"waits"` // for the capability, before the call; else the call is pipelined on its promise
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

// encodeBootstrap asks for the client's capability.
func encodeBootstrap(question uint32) []byte {
	b, bootstrap := newRPC(rpcBootstrap, 1, 1)
	b.put32(bootstrap.data, question)
	return b.finish()
}

// encodeCall calls a method of a capability, or of the one that question 0 asks for if there is none yet.
func encodeCall(question uint32, capability *uint32, called method, arguments callArguments) ([]byte, error) {
	b, call := newRPC(rpcCall, 3, 3)
	b.put32(call.data, question)
	b.put16(call.data+4, called.number)
	b.put64(call.data+8, called.interfaceID)
	target := b.structure(call.pointer(0), 1, 1)
	if capability != nil {
		b.put32(target.data, *capability)
	} else {
		b.put16(target.data+4, 1) // promisedAnswer, of question 0, without a transform
		b.structures(b.structure(target.pointer(0), 1, 1).pointer(0), 0, 1, 0)
	}
	params := b.structure(call.pointer(1), 0, 2)
	if err := called.write(b, params.pointer(0), arguments); err != nil {
		return nil, err
	}
	b.structures(params.pointer(1), 0, 1, 1) // a table of no capabilities
	return b.finish(), nil
}

// converse calls a method of the client's, in the messages and in the order of Go's own RPC.
func converse(stream io.ReadWriter, called method, arguments callArguments) (map[string]any, error) {
	output := append(append([]byte(nil), rpcSignature...), encodeBootstrap(0)...)
	question := uint32(0) // it is free again once the capability is there
	if !arguments.Waits {
		question = 1
		call, err := encodeCall(question, nil, called, arguments)
		if err != nil {
			return nil, err
		}
		output = append(output, call...)
	}
	if _, err := stream.Write(output); err != nil {
		return nil, err
	}
	var capability *uint32
	for {
		m, err := readMessage(stream)
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
		case kind != rpcReturn:
		case body.u16(6) != 0:
			return nil, fmt.Errorf("the client answered with %d: %s", body.u16(6), body.structure(0).textAt(0))
		case capability == nil && body.u32(0) == 0:
			for _, offered := range body.structure(0).list(1) {
				hosted := offered.u32(4)
				capability = &hosted
			}
			if capability == nil {
				return nil, fmt.Errorf("the client offers no capability")
			}
			output := encodeFinish(0)
			if arguments.Waits {
				call, err := encodeCall(question, capability, called, arguments)
				if err != nil {
					return nil, err
				}
				output = append(output, call...)
			}
			if _, err := stream.Write(output); err != nil {
				return nil, err
			}
		case capability != nil && body.u32(0) == question:
			results := called.read(body.structure(0).structure(0))
			if m.err != nil {
				return nil, m.err
			}
			farewell := append(append(encodeFinish(question), encodeRelease(*capability)...), abort(shutdown)...)
			_, err := stream.Write(farewell)
			return results, err
		}
		if m.err != nil {
			return nil, m.err
		}
	}
}

// encodeFinish ends a question.
func encodeFinish(question uint32) []byte {
	b, finish := newRPC(rpcFinish, 1, 0)
	b.put32(finish.data, question)
	b.bytes[finish.data+4] = 1 // releaseResultCaps: false
	return b.finish()
}

// encodeRelease gives a capability back, the one reference to it.
func encodeRelease(capability uint32) []byte {
	b, release := newRPC(rpcRelease, 1, 0)
	b.put32(release.data, capability)
	b.put32(release.data+4, 1)
	return b.finish()
}

package main

import (
	"fmt"
	"io"
)

// Cap'n Proto RPC (rpc.capnp), the part that client and edge speak. Numbers are the places of the fields in their
// structs, as the schema lays them out.

// Kinds of a Message.
const (
	rpcUnimplemented = 0
	rpcAbort         = 1
	rpcCall          = 2
	rpcReturn        = 3
	rpcFinish        = 4
	rpcResolve       = 5
	rpcRelease       = 6
	rpcBootstrap     = 8
	rpcDisembargo    = 13
)

// Kinds of an Exception.
const (
	exceptionFailed        = 0
	exceptionUnimplemented = 3
)

const (
	registrationServer   = 0xf71695ec7fe85497
	sessionManager       = 0x839445a59fb01686
	configurationManager = 0xb48edfbdaa25db04
)

func newRPC(kind uint16, data, pointers int) (*builder, built) {
	b := newBuilder(512)
	root := b.structure(rootPointer, 1, 1)
	b.put16(root.data, kind)
	return b, b.structure(root.pointer(0), data, pointers)
}

// newReturn begins a Return; its results or its exception are for its pointer.
func newReturn(answer uint32, union uint16) (*builder, built) {
	b, returned := newRPC(rpcReturn, 2, 1)
	b.put32(returned.data, answer)
	b.bytes[returned.data+4] = 1 // releaseParamCaps, true by default: stored the other way round, so this is false
	b.put16(returned.data+6, union)
	return b, returned
}

func returnException(answer uint32, reason string, kind uint16) []byte {
	b, returned := newReturn(answer, 1)
	b.exception(returned.pointer(0), reason, kind)
	return b.finish()
}

func (b *builder) exception(at int, reason string, kind uint16) {
	exception := b.structure(at, 1, 1)
	b.put16(exception.data+4, kind)
	b.text(exception.pointer(0), reason)
}

func abort(reason string) []byte {
	b := newBuilder(256)
	root := b.structure(rootPointer, 1, 1)
	b.put16(root.data, rpcAbort)
	b.exception(root.pointer(0), reason, exceptionFailed)
	return b.finish()
}

// returnBootstrap answers with capability 0: a pointer to entry 0 of the table, and that table.
func returnBootstrap(answer uint32) []byte {
	b, returned := newReturn(answer, 0)
	payload := b.structure(returned.pointer(0), 0, 2)
	b.put64(payload.pointer(0), 3)
	capability := b.structures(payload.pointer(1), 1, 1, 1)
	b.put16(capability, 1) // senderHosted
	return b.finish()
}

// returnResults answers with a struct that `fill` makes at a pointer.
func returnResults(answer uint32, fill func(b *builder, at int)) []byte {
	b, returned := newReturn(answer, 0)
	payload := b.structure(returned.pointer(0), 0, 2)
	fill(b, payload.pointer(0))
	return b.finish()
}

// --- the control stream: the client calls ---

// registrationParams are those of registerConnection.
type registrationParams struct {
	accountTag         string
	secret, tunnelID   []byte
	index              int
	clientID           []byte
	originLocalIP      []byte
	features           []string
	version, arch      string
	replaceExisting    bool
	numPreviousAttempt int
}

func readRegistration(params structReader) registrationParams {
	auth, options := params.structure(0), params.structure(2)
	client := options.structure(0)
	read := registrationParams{
		accountTag: auth.textAt(0), secret: auth.dataAt(1), tunnelID: params.dataAt(1), index: int(params.u8(0)),
		clientID: client.dataAt(0), version: client.textAt(2), arch: client.textAt(3), features: []string{},
		replaceExisting: options.bit(0), numPreviousAttempt: int(options.u8(2)), originLocalIP: options.dataAt(1),
	}
	for _, feature := range client.list(1) {
		read.features = append(read.features, feature.textAt(0))
	}
	return read
}

// controlCalls is who answers the client's calls. A nil answer to register is silence.
type controlCalls interface {
	register(registrationParams) func(b *builder, at int)
	unregister()
	configure(config []byte)
}

// serveControl answers one control stream until it ends.
func serveControl(stream io.ReadWriter, calls controlCalls) error {
	bootstrapped := map[uint32]bool{} // answers that hold the capability, until their Finish
	for {
		m, err := readMessage(stream)
		if err != nil {
			return err
		}
		root := m.root()
		kind, body := root.u16(0), root.structure(0)
		var output []byte
		switch kind {
		case rpcBootstrap:
			answer := body.u32(0)
			bootstrapped[answer] = true
			output = returnBootstrap(answer)
		case rpcCall:
			output = answerCall(body, bootstrapped, calls)
		case rpcFinish:
			delete(bootstrapped, body.u32(0))
		case rpcRelease, rpcResolve, rpcUnimplemented, rpcReturn:
			// There is one capability, it lives as long as the stream, and nothing was asked here.
		case rpcDisembargo:
			output = answerDisembargo(body)
		case rpcAbort:
			return fmt.Errorf("the client aborts: %s", body.textAt(0))
		default:
			output = unimplemented(kind)
		}
		if m.err != nil {
			stream.Write(abort(m.err.Error()))
			return m.err
		}
		if output != nil {
			if _, err := stream.Write(output); err != nil {
				return err
			}
		}
	}
}

func answerCall(call structReader, bootstrapped map[uint32]bool, calls controlCalls) []byte {
	answer, method := call.u32(0), call.u16(4)
	target := call.structure(0)
	known := target.u16(4) == 0 && target.u32(0) == 0 || target.u16(4) == 1 && bootstrapped[target.structure(0).u32(0)]
	if !known {
		return returnException(answer, "call of a capability that was not given", exceptionFailed)
	}
	params := call.structure(1).structure(0)
	empty := func(b *builder, at int) { b.structure(at, 0, 0) }
	if call.u64(8) == registrationServer {
		switch method {
		case 0:
			registration := readRegistration(params)
			if params.m.err != nil {
				return nil // the caller aborts
			}
			if fill := calls.register(registration); fill != nil {
				return returnResults(answer, fill)
			}
			return nil
		case 1:
			calls.unregister()
			return returnResults(answer, empty)
		case 2:
			calls.configure(params.dataAt(0))
			return returnResults(answer, empty)
		}
	}
	reason := fmt.Sprintf("method %d of interface %#x is none of the edge's", method, call.u64(8))
	return returnException(answer, reason, exceptionUnimplemented)
}

// answerDisembargo sends a loopback back.
func answerDisembargo(asked structReader) []byte {
	if asked.u16(4) != 0 {
		return nil
	}
	b, disembargo := newRPC(rpcDisembargo, 1, 1)
	b.put32(disembargo.data, asked.u32(0))
	b.put16(disembargo.data+4, 1)
	target := b.structure(disembargo.pointer(0), 1, 1)
	b.put32(target.data, 0)
	return b.finish()
}

// unimplemented says that a kind of message is not known; of the message itself only the kind is sent back.
func unimplemented(kind uint16) []byte {
	b, original := newRPC(rpcUnimplemented, 1, 1)
	b.put16(original.data, kind)
	return b.finish()
}

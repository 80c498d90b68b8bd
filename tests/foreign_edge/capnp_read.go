package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Reading Cap'n Proto messages (https://capnproto.org/encoding.html), any layout that the encoding allows: several
// segments, far pointers, structs that are shorter or longer than the schema says. A reader takes what is missing as
// the default, and stops at the limits below, as a peer may write anything.

const (
	maxSegments     = 64
	maxMessageBytes = 8 << 20
	maxDepth        = 32      // pointers below pointers; the protocol's own messages have eight
	maxTraversal    = 4 << 20 // words that pointers may lead to in all, so that no message can be read for ever
)

var errTraversal = errors.New("capnp: the message leads to more words than it may")

// message is one message, its segments as bytes. The first fault that is found stays in err; every getter after it
// gives the default, so that a decoder asks once, at the end.
type message struct {
	segments [][]byte
	budget   int
	err      error
}

func (m *message) fail(format string, arguments ...any) {
	if m.err == nil {
		m.err = fmt.Errorf("capnp: "+format, arguments...)
	}
}

// readMessage reads one message with its segment table. It returns io.EOF when the stream ends before it begins.
func readMessage(from io.Reader) (*message, error) {
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, err
	}
	count := int64(binary.LittleEndian.Uint32(head[:])) + 1
	if count > maxSegments {
		return nil, fmt.Errorf("capnp: %d segments", count)
	}
	table := make([]byte, 4*(count+(count+1)%2)) // padded so that it ends at a word
	if _, err := io.ReadFull(from, table); err != nil {
		return nil, unexpected(err)
	}
	m := &message{budget: maxTraversal, segments: make([][]byte, count)}
	total := int64(0)
	for i := range m.segments {
		total += 8 * int64(binary.LittleEndian.Uint32(table[4*i:]))
	}
	if total > maxMessageBytes {
		return nil, fmt.Errorf("capnp: a message of %d bytes", total)
	}
	body := make([]byte, total)
	if _, err := io.ReadFull(from, body); err != nil {
		return nil, unexpected(err)
	}
	for i := range m.segments {
		size := 8 * int64(binary.LittleEndian.Uint32(table[4*i:]))
		m.segments[i], body = body[:size], body[size:]
	}
	return m, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// pointer is a place in a segment where a pointer stands.
type pointer struct {
	m       *message
	segment int
	offset  int
	depth   int
}

func (m *message) root() structReader {
	return pointer{m: m}.structure()
}

// object is what a pointer leads to, far pointers followed: where it begins, and the word that tells its kind.
type object struct {
	segment int
	start   int
	word    uint64
}

func (p pointer) word(segment, offset int) (uint64, bool) {
	if segment >= len(p.m.segments) || offset < 0 || offset+8 > len(p.m.segments[segment]) {
		p.m.fail("a pointer outside of segment %d", segment)
		return 0, false
	}
	return binary.LittleEndian.Uint64(p.m.segments[segment][offset:]), true
}

func (p pointer) follow() (object, bool) {
	if p.segment < 0 || p.m.err != nil {
		return object{}, false
	}
	if p.depth > maxDepth {
		p.m.fail("pointers more than %d deep", maxDepth)
		return object{}, false
	}
	word, ok := p.word(p.segment, p.offset)
	if !ok || word == 0 {
		return object{}, false
	}
	if word&3 != 2 {
		return object{p.segment, p.offset + 8 + 8*near(word), word}, true
	}
	segment, pad := int(word>>32), 8*int(uint32(word)>>3)
	landing, ok := p.word(segment, pad)
	if !ok {
		return object{}, false
	}
	if word&4 == 0 { // the landing pad is a pointer of the usual kind
		if landing == 0 {
			return object{}, false
		}
		if landing&3 == 2 {
			p.m.fail("a far pointer leads to another")
			return object{}, false
		}
		return object{segment, pad + 8 + 8*near(landing), landing}, true
	}
	tag, ok := p.word(segment, pad+8) // two words: where it is, and what it is
	if !ok {
		return object{}, false
	}
	if landing&7 != 2 || tag&3 == 2 {
		p.m.fail("a double far pointer without a landing pad")
		return object{}, false
	}
	return object{int(landing >> 32), 8 * int(uint32(landing)>>3), tag}, true
}

// near is the signed offset of a struct's or a list's pointer, in words.
func near(word uint64) int { return int(int32(uint32(word)) >> 2) }

// bytesOf takes what an object covers, within its segment and the budget.
func (p pointer) bytesOf(where object, size int) ([]byte, bool) {
	if where.segment >= len(p.m.segments) {
		p.m.fail("no segment %d", where.segment)
		return nil, false
	}
	segment := p.m.segments[where.segment]
	if where.start < 0 || size < 0 || where.start+size > len(segment) {
		p.m.fail("an object outside of segment %d", where.segment)
		return nil, false
	}
	if p.m.budget -= size/8 + 1; p.m.budget < 0 {
		p.m.err = errTraversal
		return nil, false
	}
	return segment[where.start : where.start+size], true
}

// structReader reads one struct. Its zero value is one of defaults.
type structReader struct {
	m        *message
	data     []byte
	segment  int
	pointers int // offset of the first
	count    int
	depth    int
}

func (p pointer) structure() structReader {
	where, ok := p.follow()
	if !ok {
		return structReader{m: p.m}
	}
	if where.word&3 != 0 {
		p.m.fail("no struct where one belongs")
		return structReader{m: p.m}
	}
	data, pointers := 8*int(uint16(where.word>>32)), int(uint16(where.word>>48))
	all, ok := p.bytesOf(where, data+8*pointers)
	if !ok {
		return structReader{m: p.m}
	}
	return structReader{p.m, all[:data], where.segment, where.start + data, pointers, p.depth + 1}
}

func (s structReader) u64(offset int) uint64 {
	if offset+8 > len(s.data) {
		return 0
	}
	return binary.LittleEndian.Uint64(s.data[offset:])
}

func (s structReader) u32(offset int) uint32 {
	if offset+4 > len(s.data) {
		return 0
	}
	return binary.LittleEndian.Uint32(s.data[offset:])
}

func (s structReader) u16(offset int) uint16 {
	if offset+2 > len(s.data) {
		return 0
	}
	return binary.LittleEndian.Uint16(s.data[offset:])
}

func (s structReader) u8(offset int) byte {
	if offset >= len(s.data) {
		return 0
	}
	return s.data[offset]
}

func (s structReader) bit(number int) bool { return s.u8(number/8)>>(number%8)&1 == 1 }

func (s structReader) pointer(index int) pointer {
	if index >= s.count {
		return pointer{m: s.m, segment: -1} // leads nowhere
	}
	return pointer{s.m, s.segment, s.pointers + 8*index, s.depth}
}

func (s structReader) structure(index int) structReader { return s.pointer(index).structure() }

// data is a list of bytes; nil where there is none.
func (p pointer) data() []byte {
	where, ok := p.follow()
	if !ok {
		return nil
	}
	if where.word&3 != 1 || where.word>>32&7 != 2 {
		p.m.fail("no list of bytes where one belongs")
		return nil
	}
	data, _ := p.bytesOf(where, int(where.word>>35))
	return data
}

// text is a list of bytes that ends with a NUL.
func (p pointer) text() string {
	data := p.data()
	if len(data) == 0 {
		return ""
	}
	if data[len(data)-1] != 0 {
		p.m.fail("text without a NUL at its end")
		return ""
	}
	return string(data[:len(data)-1])
}

func (s structReader) dataAt(index int) []byte { return s.pointer(index).data() }
func (s structReader) textAt(index int) string { return s.pointer(index).text() }

// list gives the elements of a list of structs, or of one of pointers (then each is a struct with that pointer alone,
// which is how the encoding lets the one be read as the other).
func (s structReader) list(index int) []structReader {
	p := s.pointer(index)
	where, ok := p.follow()
	if !ok {
		return nil
	}
	kind, size := where.word>>32&7, int(where.word>>35)
	if where.word&3 != 1 || kind != 6 && kind != 7 {
		p.m.fail("no list of structs or pointers where one belongs")
		return nil
	}
	if kind == 7 {
		size++ // the tag's word is not counted
	}
	all, ok := p.bytesOf(where, 8*size)
	if !ok {
		return nil
	}
	if kind == 6 {
		elements := make([]structReader, size)
		for i := range elements {
			elements[i] = structReader{p.m, nil, where.segment, where.start + 8*i, 1, p.depth + 1}
		}
		return elements
	}
	tag := binary.LittleEndian.Uint64(all) // how many, and how large each
	count, data, pointers := int(uint32(tag)>>2), 8*int(uint16(tag>>32)), int(uint16(tag>>48))
	each := data + 8*pointers
	if tag&3 != 0 || 8+count*each > len(all) || p.m.budget < count {
		p.m.fail("a list of structs that is longer than its words")
		return nil
	}
	p.m.budget -= count // elements of no size cost something too
	elements := make([]structReader, count)
	for i := range elements {
		start := 8 + i*each
		elements[i] = structReader{
			p.m, all[start : start+data], where.segment, where.start + start + data, pointers, p.depth + 1,
		}
	}
	return elements
}

package main

import "encoding/binary"

// Writing Cap'n Proto messages: one segment, objects in the order in which they are made, each behind its pointer.

// builder holds a message that grows: the segment table, the root's pointer, then the objects.
type builder struct{ bytes []byte }

// built is a struct of a message: where its data is, and where its pointers are, as offsets that stay.
type built struct{ data, pointers int }

const rootPointer = 8

func newBuilder(size int) *builder {
	return &builder{make([]byte, rootPointer+8, size)}
}

func (b *builder) grow(size int) int {
	at := len(b.bytes)
	b.bytes = append(b.bytes, make([]byte, (size+7)&^7)...)
	return at
}

func (b *builder) put16(at int, value uint16) { binary.LittleEndian.PutUint16(b.bytes[at:], value) }
func (b *builder) put32(at int, value uint32) { binary.LittleEndian.PutUint32(b.bytes[at:], value) }
func (b *builder) put64(at int, value uint64) { binary.LittleEndian.PutUint64(b.bytes[at:], value) }

// structure makes a struct of so many words of data and pointers, for the pointer at an offset.
func (b *builder) structure(at, data, pointers int) built {
	start := b.grow(8 * (data + pointers))
	if data+pointers == 0 { // a pointer of zeros would be none: offset -1
		b.put64(at, 0xfffffffc)
		return built{start, start}
	}
	b.put32(at, uint32((start-at)/8-1)<<2)
	b.put16(at+4, uint16(data))
	b.put16(at+6, uint16(pointers))
	return built{start, start + 8*data}
}

// pointer is the offset of one of a struct's pointers.
func (s built) pointer(index int) int { return s.pointers + 8*index }

func (b *builder) list(at, start, kind, size int) {
	b.put32(at, uint32((start-at)/8-1)<<2|1)
	b.put32(at+4, uint32(size)<<3|uint32(kind))
}

func (b *builder) data(at int, value []byte) {
	start := b.grow(len(value))
	copy(b.bytes[start:], value)
	b.list(at, start, 2, len(value))
}

// text writes a text; none for an empty one, which is its default.
func (b *builder) text(at int, value string) {
	if value == "" {
		return
	}
	start := b.grow(len(value) + 1)
	copy(b.bytes[start:], value)
	b.list(at, start, 2, len(value)+1)
}

// structures makes a list of structs; elements are found with element.
func (b *builder) structures(at, count, data, pointers int) int {
	start := b.grow(8 + 8*count*(data+pointers))
	b.list(at, start, 7, count*(data+pointers))
	b.put32(start, uint32(count)<<2)
	b.put16(start+4, uint16(data))
	b.put16(start+6, uint16(pointers))
	return start + 8
}

// finish writes the segment table and returns the message.
func (b *builder) finish() []byte {
	b.put32(4, uint32(len(b.bytes)/8-1))
	return b.bytes
}

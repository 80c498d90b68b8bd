package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Stream is one stream that the edge opened: a request and its answer, or the control stream. All of it is guarded
// by the link's mutex.
type h2Stream struct {
	link    *h2Link
	id      uint32
	arrived *sync.Cond
	kind    int
	isHead  bool
	watch   func(http2.Frame) // sees what comes

	fields    []hpack.HeaderField // of the answer; nil before they come
	received  []byte
	at        int   // what of it was read
	uncounted int   // read bytes for which no credit was given
	window    int64 // bytes that may still come
	length    int64 // what content-length promised, -1 for nothing
	got       int64
	peerEnded bool
	trailers  http.Header

	credit  int64
	sentEnd bool
	stopped bool // the client is done, and wants no more of the body
	code    http2.ErrCode
	failure error
}

// --- what comes; the mutex is held ---

func (s *h2Stream) takeHead(frame *http2.MetaHeadersFrame) {
	if status, is := fieldOf(frame.Fields, ":status"); is && len(status) == 3 && status[0] == '1' {
		return // interim
	}
	if s.fields != nil {
		s.trailers = http.Header{}
		for _, field := range frame.RegularFields() {
			s.trailers.Add(field.Name, field.Value)
		}
		if !frame.StreamEnded() {
			s.reset(http2.ErrCodeProtocol) // a second head is the end
			return
		}
	} else {
		s.fields = slices.Clone(frame.Fields)
		if text, is := fieldOf(s.fields, "content-length"); is {
			length, err := strconv.ParseInt(text, 10, 63)
			if err != nil {
				s.reset(http2.ErrCodeProtocol)
				return
			}
			s.length = length
		}
	}
	if frame.StreamEnded() {
		s.takeEnd()
	}
	s.arrived.Broadcast()
}

func (s *h2Stream) takeData(frame *http2.DataFrame) {
	data := frame.Data()
	s.got += int64(len(data))
	s.window -= int64(frame.Length)
	switch {
	case s.peerEnded || s.fields == nil:
		s.reset(http2.ErrCodeStreamClosed)
		return
	case s.window < 0:
		s.reset(http2.ErrCodeFlowControl)
		return
	}
	if s.at == len(s.received) {
		s.received, s.at = s.received[:0], 0
	}
	s.received = append(s.received, data...)
	s.uncounted += int(frame.Length) - len(data) // padding
	if frame.StreamEnded() {
		s.takeEnd()
	}
	s.arrived.Broadcast()
}

func (s *h2Stream) takeEnd() {
	if status, _ := fieldOf(s.fields, ":status"); s.length >= 0 && s.got != s.length && !s.isHead && status != "304" {
		s.fail(fmt.Errorf("the client promised %d bytes and sent %d", s.length, s.got))
		return
	}
	s.peerEnded = true
	s.forget()
}

func (s *h2Stream) takeReset(code http2.ErrCode) {
	s.code = code
	if s.peerEnded { // it has answered, and wants no more of the body
		s.stopped = true
		s.link.changed.Broadcast()
		s.arrived.Broadcast()
		s.forget()
		return
	}
	s.fail(fmt.Errorf("%w (%v)", errReset, code))
}

func (s *h2Stream) fail(why error) {
	if s.failure == nil {
		s.failure = why
	}
	s.arrived.Broadcast()
	s.link.changed.Broadcast()
	s.forget()
}

// reset ends the stream at once.
func (s *h2Stream) reset(code http2.ErrCode) {
	if s.failure == nil && !(s.peerEnded && (s.sentEnd || s.stopped)) {
		s.link.orderLocked(func() error { return s.link.framer.WriteRSTStream(s.id, code) })
	}
	s.fail(fmt.Errorf("the edge reset the stream (%v)", code))
}

// forget takes the stream out of the table once both directions have ended.
func (s *h2Stream) forget() {
	if s.failure == nil && !(s.peerEnded && (s.sentEnd || s.stopped)) {
		return
	}
	if s.link.streams[s.id] == s {
		delete(s.link.streams, s.id)
		s.link.changed.Broadcast()
		s.link.settle()
	}
}

// --- for the front and for the control stream ---

// head waits for the answer's fields.
func (s *h2Stream) head() ([]hpack.HeaderField, error) {
	s.link.mutex.Lock()
	defer s.link.mutex.Unlock()
	for s.fields == nil && s.failure == nil {
		s.arrived.Wait()
	}
	if s.fields == nil {
		return nil, s.failure
	}
	return s.fields, nil
}

func (s *h2Stream) readHead(header http.Header) (int, error) {
	fields, err := s.head()
	if err != nil {
		return 0, fmt.Errorf("the client gave no answer: %w", err)
	}
	return readAnswerFields(fields, s.kind, header)
}

func (s *h2Stream) Read(into []byte) (int, error) {
	s.link.mutex.Lock()
	defer s.link.mutex.Unlock()
	for s.at == len(s.received) && !s.peerEnded && s.failure == nil {
		s.arrived.Wait()
	}
	if s.at < len(s.received) {
		count := copy(into, s.received[s.at:])
		s.at += count
		if s.uncounted += count; s.uncounted >= streamCredit && !s.peerEnded && s.failure == nil {
			given := uint32(s.uncounted)
			s.uncounted = 0
			s.window += int64(given)
			s.link.orderLocked(func() error { return s.link.framer.WriteWindowUpdate(s.id, given) })
		}
		return count, nil
	}
	if s.peerEnded {
		return 0, io.EOF
	}
	return 0, s.failure
}

func (s *h2Stream) buffered() int {
	s.link.mutex.Lock()
	defer s.link.mutex.Unlock()
	return len(s.received) - s.at
}

func (s *h2Stream) over() bool {
	s.link.mutex.Lock()
	defer s.link.mutex.Unlock()
	return s.peerEnded && s.at == len(s.received)
}

func (s *h2Stream) trailer() http.Header {
	s.link.mutex.Lock()
	defer s.link.mutex.Unlock()
	return s.trailers
}

var errNotWanted = errors.New("the client wants no more of the body")

// writable waits for credit, and takes as much of it as `wanted` at most.
func (s *h2Stream) writable(wanted int) (int, error) {
	l := s.link
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for s.failure == nil && !s.stopped && (s.credit <= 0 || l.credit <= 0) {
		l.changed.Wait()
	}
	switch {
	case s.failure != nil:
		return 0, s.failure
	case s.stopped || s.sentEnd:
		return 0, errNotWanted
	}
	count := min(int64(wanted), s.credit, l.credit, int64(l.maxFrame))
	s.credit -= count
	l.credit -= count
	return int(count), nil
}

func (s *h2Stream) Write(from []byte) (int, error) {
	written := 0
	for written < len(from) {
		count, err := s.writable(len(from) - written)
		if err == nil {
			err = s.link.write(func() error { return s.link.framer.WriteData(s.id, false, from[written:written+count]) })
		}
		if err != nil {
			return written, err
		}
		written += count
	}
	return written, nil
}

func (s *h2Stream) CloseWrite() error {
	s.link.mutex.Lock()
	if s.failure != nil || s.stopped || s.sentEnd {
		s.link.mutex.Unlock()
		return nil
	}
	s.sentEnd = true
	s.forget()
	s.link.mutex.Unlock()
	return s.link.write(func() error { return s.link.framer.WriteData(s.id, true, nil) })
}

func (s *h2Stream) abandon() {
	s.link.mutex.Lock()
	defer s.link.mutex.Unlock()
	s.reset(http2.ErrCodeCancel)
}

func (s *h2Stream) finish() {
	s.link.mutex.Lock()
	defer s.link.mutex.Unlock()
	if !s.peerEnded || !s.sentEnd && !s.stopped {
		s.reset(http2.ErrCodeCancel)
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// One connection over HTTP/2, of which the edge is the client. Frames and HPACK are golang.org/x/net's; streams and
// credit are kept here and not by its Transport, which can send nothing that is malformed, and tests want that too.

const (
	// What Go's own HTTP/2 client announces.
	streamWindow     = 4 << 20
	connectionWindow = 1 << 30
	maxHeaderList    = 10 << 20

	defaultWindow  = 65535 // RFC 9113 section 6.9.2
	defaultFrame   = 16384
	maxSentFrame   = 64 << 10  // bytes of a DATA frame, so that others get their turn
	streamCredit   = 256 << 10 // consumed bytes that are worth a WINDOW_UPDATE
	maxOrders      = 10_000    // frames that wait to be written: a client that provokes more is cut off
	firstStream    = 1
	writeBufferMin = 64 << 10
)

type h2Link struct {
	session *session
	conn    *tls.Conn
	gate    *gatedConn
	framer  *http2.Framer // reads by the loop; writes under `writing`

	writing sync.Mutex
	writers atomic.Int32 // those who hold or want `writing`: the last of them flushes
	out     *bufio.Writer
	encoder *hpack.Encoder
	block   bytes.Buffer
	lastID  uint32 // likewise, and under `mutex`

	mutex        sync.Mutex
	changed      *sync.Cond // credit has come, a place is free, an order waits, or all is over
	streams      map[uint32]*h2Stream
	opening      int // streams that have a place, and no id yet
	orders       []func() error
	credit       int64
	window       int64 // of a new stream, towards the client
	maxFrame     int
	maxStreams   uint32
	consumed     int64 // received bytes for which the connection's credit is not given back yet
	failure      error
	pings        map[[8]byte]func()
	pinged       uint64
	control      *h2Stream
	controlEnded bool
	farewell     *http2.GoAwayError // the client's

	rtt      atomic.Int64
	settings chan struct{} // closed with the client's first SETTINGS
}

func newH2Link(client *session, conn *tls.Conn, gate *gatedConn) *h2Link {
	made := &h2Link{
		session: client, conn: conn, gate: gate, out: bufio.NewWriterSize(conn, writeBufferMin),
		streams: map[uint32]*h2Stream{}, credit: defaultWindow, window: defaultWindow, maxFrame: defaultFrame,
		maxStreams: 1<<32 - 1, pings: map[[8]byte]func(){}, settings: make(chan struct{}),
	}
	client.link = made
	made.changed = sync.NewCond(&made.mutex)
	made.framer = http2.NewFramer(made.out, bufio.NewReaderSize(conn, writeBufferMin))
	made.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	made.framer.MaxHeaderListSize = maxHeaderList
	made.framer.AllowIllegalWrites = true
	made.framer.SetReuseFrames()
	made.framer.SetMaxReadFrameSize(defaultFrame)
	made.encoder = hpack.NewEncoder(&made.block)
	return made
}

// serve begins, opens the control stream, and reads until the end.
func (l *h2Link) serve() {
	err := l.write(func() error {
		l.out.WriteString(http2.ClientPreface)
		l.framer.WriteSettings(
			http2.Setting{ID: http2.SettingEnablePush, Val: 0},
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
			http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderList},
		)
		return l.framer.WriteWindowUpdate(0, connectionWindow)
	})
	if err != nil {
		l.end(err)
		return
	}
	go l.carryOut()
	go l.serveControl()
	l.end(l.readFrames())
}

// serveControl answers the client's calls on the one stream that the edge opens for them.
func (l *h2Link) serveControl() {
	within, cancel := context.WithTimeout(context.Background(), idleTimeout)
	defer cancel()
	select { // as a client that waits for nothing may still be waited for
	case <-l.settings:
	case <-within.Done():
		l.close(uint64(http2.ErrCodeSettingsTimeout), "no SETTINGS came")
		return
	}
	stream := &h2Stream{}
	if l.begin(within, stream, []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: h2Name},
		{Name: ":path", Value: "/"}, {Name: kindField, Value: kindControl},
	}) != nil {
		return
	}
	l.mutex.Lock()
	l.control = stream
	l.mutex.Unlock()
	if fields, err := stream.head(); err == nil {
		if status, _ := fieldOf(fields, ":status"); status == "200" {
			l.ping(func(time.Duration) {})
			serveControl(stream, l.session)
		}
	}
	stream.CloseWrite()
	l.mutex.Lock()
	l.controlEnded = true
	l.settle()
	l.mutex.Unlock()
}

// settle closes a connection that is not needed any more: its client waits for that. The mutex is held.
func (l *h2Link) settle() {
	registered := l.session.registered.Load()
	serves := registered != nil && !l.session.registry.isDraining(registered)
	if !l.controlEnded || serves || registered != nil && len(l.streams)+l.opening > 0 {
		return
	}
	go l.close(noError, "")
}

// --- writing ---

// write does what it is given, alone; the last one who waits to write flushes.
func (l *h2Link) write(act func() error) error {
	l.writers.Add(1)
	l.writing.Lock()
	defer l.writing.Unlock()
	err := act()
	if l.writers.Add(-1) == 0 {
		if failed := l.out.Flush(); err == nil {
			err = failed
		}
	}
	return err
}

// order has something written by another: whoever reads must never wait until the client reads. The mutex is free.
func (l *h2Link) order(act func() error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.orderLocked(act)
}

func (l *h2Link) orderLocked(act func() error) {
	if len(l.orders) == maxOrders {
		go l.gate.reset()
		return
	}
	l.orders = append(l.orders, act)
	l.changed.Broadcast()
}

// carryOut writes what was ordered.
func (l *h2Link) carryOut() {
	for {
		l.mutex.Lock()
		for len(l.orders) == 0 && l.failure == nil {
			l.changed.Wait()
		}
		orders := l.orders
		l.orders = nil
		over := l.failure != nil
		l.mutex.Unlock()
		if over {
			return
		}
		if l.write(func() error {
			for _, act := range orders {
				if err := act(); err != nil {
					return err
				}
			}
			return nil
		}) != nil {
			return // the reader will see it
		}
	}
}

// begin opens a stream with these fields, once the client allows one more. `sentEnd` says whether that is all.
func (l *h2Link) begin(within context.Context, stream *h2Stream, fields []hpack.HeaderField) error {
	maxFrame, err := l.takePlace(within)
	if err != nil {
		return err
	}
	err = l.write(func() error {
		l.number(stream)
		return l.writeHead(stream.id, fields, stream.sentEnd, maxFrame)
	})
	if err != nil {
		stream.abandon()
	}
	return err
}

// takePlace waits until the client allows one stream more; how large its frames may be.
func (l *h2Link) takePlace(within context.Context) (int, error) {
	unhook := context.AfterFunc(within, func() {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		l.changed.Broadcast()
	})
	defer unhook()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for l.failure == nil && l.farewell == nil && within.Err() == nil && uint32(len(l.streams)+l.opening) >= l.maxStreams {
		l.changed.Wait()
	}
	switch {
	case l.failure != nil:
		return 0, l.failure
	case l.farewell != nil:
		return 0, errLeaving
	case within.Err() != nil:
		return 0, within.Err()
	}
	l.opening++
	return l.maxFrame, nil
}

// number gives a stream the next id, and its place in the table. Its head has to be written before anything else.
func (l *h2Link) number(stream *h2Stream) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.opening--
	l.lastID += 2
	if l.lastID == 2 {
		l.lastID = firstStream
	}
	stream.link, stream.id, stream.credit, stream.window, stream.length = l, l.lastID, l.window, streamWindow, -1
	stream.arrived = sync.NewCond(&l.mutex)
	l.streams[stream.id] = stream
}

// writeHead writes a header block, in as many frames as it takes.
func (l *h2Link) writeHead(id uint32, fields []hpack.HeaderField, ended bool, maxFrame int) error {
	l.block.Reset()
	for _, field := range fields {
		if err := l.encoder.WriteField(field); err != nil {
			return err
		}
	}
	block := l.block.Bytes()
	for first := true; first || len(block) > 0; first = false {
		piece := block[:min(len(block), maxFrame)]
		block = block[len(piece):]
		var err error
		if first {
			err = l.framer.WriteHeaders(http2.HeadersFrameParam{
				StreamID: id, BlockFragment: piece, EndStream: ended, EndHeaders: len(block) == 0,
			})
		} else {
			err = l.framer.WriteContinuation(id, len(block) == 0, piece)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// --- reading ---

func (l *h2Link) readFrames() error {
	for first := true; ; first = false {
		frame, err := l.framer.ReadFrame()
		var malformed http2.StreamError
		if errors.As(err, &malformed) {
			l.order(func() error { return l.framer.WriteRSTStream(malformed.StreamID, malformed.Code) })
			l.mutex.Lock()
			if stream := l.streams[malformed.StreamID]; stream != nil {
				stream.fail(fmt.Errorf("the client's answer is malformed: %w", err))
			}
			l.mutex.Unlock()
			continue
		}
		if errors.Is(err, http2.ErrFrameTooLarge) {
			return http2.ConnectionError(http2.ErrCodeFrameSize)
		}
		if err != nil {
			return err
		}
		if _, is := frame.(*http2.SettingsFrame); first && !is {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		l.mutex.Lock()
		err = l.take(frame)
		l.mutex.Unlock()
		if err != nil {
			return err
		}
	}
}

// take deals with a frame. The mutex is held.
func (l *h2Link) take(frame http2.Frame) error {
	id := frame.Header().StreamID
	stream := l.streams[id]
	if stream != nil && stream.watch != nil {
		stream.watch(frame)
	}
	if stream == nil && id > 0 && !l.wasOpened(id) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		return l.takeSettings(frame)
	case *http2.PingFrame:
		if !frame.IsAck() {
			data := frame.Data
			l.orderLocked(func() error { return l.framer.WritePing(true, data) })
		} else if answered := l.pings[frame.Data]; answered != nil {
			delete(l.pings, frame.Data)
			answered()
		}
	case *http2.WindowUpdateFrame:
		l.changed.Broadcast()
		if id == 0 {
			if l.credit += int64(frame.Increment); l.credit > 1<<31-1 {
				return http2.ConnectionError(http2.ErrCodeFlowControl)
			}
		} else if stream != nil {
			if stream.credit += int64(frame.Increment); stream.credit > 1<<31-1 {
				stream.reset(http2.ErrCodeFlowControl)
			}
		}
	case *http2.GoAwayFrame:
		l.farewell = &http2.GoAwayError{
			LastStreamID: frame.LastStreamID, ErrCode: frame.ErrCode, DebugData: string(frame.DebugData()),
		}
		if registered := l.session.registered.Load(); registered != nil {
			l.session.registry.drain(registered)
		}
		l.session.registry.note("goaway", details{
			"error_code": uint32(frame.ErrCode), "reason": l.farewell.DebugData, "last_stream": frame.LastStreamID,
		})
		for _, each := range l.streams {
			if each.id > frame.LastStreamID {
				each.fail(errLeaving)
			}
		}
	case *http2.DataFrame:
		return l.takeData(stream, frame)
	case *http2.MetaHeadersFrame:
		if stream != nil {
			stream.takeHead(frame)
		}
	case *http2.RSTStreamFrame:
		if stream != nil {
			stream.takeReset(frame.ErrCode)
		}
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol) // a client opens nothing
	}
	return nil
}

// wasOpened says whether a stream of that id is one of ours that has ended.
func (l *h2Link) wasOpened(id uint32) bool { return id%2 == 1 && id <= l.lastID }

func (l *h2Link) takeSettings(frame *http2.SettingsFrame) error {
	if frame.IsAck() {
		return nil
	}
	err := frame.ForeachSetting(func(setting http2.Setting) error {
		if err := setting.Valid(); err != nil {
			return err
		}
		switch setting.ID {
		case http2.SettingInitialWindowSize:
			for _, each := range l.streams {
				each.credit += int64(setting.Val) - l.window
			}
			l.window = int64(setting.Val)
		case http2.SettingMaxFrameSize:
			l.maxFrame = min(int(setting.Val), maxSentFrame)
		case http2.SettingMaxConcurrentStreams:
			l.maxStreams = setting.Val
		case http2.SettingHeaderTableSize:
			l.orderLocked(func() error { l.encoder.SetMaxDynamicTableSizeLimit(setting.Val); return nil })
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.orderLocked(l.framer.WriteSettingsAck)
	select {
	case <-l.settings:
	default:
		close(l.settings)
	}
	return nil
}

func (l *h2Link) takeData(stream *h2Stream, frame *http2.DataFrame) error {
	// The connection's credit is given back at once: what a stream may hold is bounded by its own.
	if l.consumed += int64(frame.Length); l.consumed >= streamWindow {
		given := uint32(l.consumed)
		l.consumed = 0
		l.orderLocked(func() error { return l.framer.WriteWindowUpdate(0, given) })
	}
	if stream != nil {
		stream.takeData(frame)
	}
	return nil
}

// --- the whole ---

// end is the end of all.
func (l *h2Link) end(why error) {
	var broken http2.ConnectionError
	if errors.As(why, &broken) {
		l.gate.SetWriteDeadline(time.Now().Add(idleTimeout)) // it may not be reading
		l.write(func() error {
			detail := "malformed"
			if told := l.framer.ErrorDetail(); told != nil {
				detail = told.Error()
			}
			return l.framer.WriteGoAway(0, http2.ErrCode(broken), []byte(detail))
		})
		l.session.registry.note("broken", details{"error_code": uint32(broken), "reason": why.Error()})
	}
	l.mutex.Lock()
	if l.failure == nil {
		l.failure = why
	}
	why = l.failure
	farewell := l.farewell
	for _, stream := range l.streams {
		stream.fail(why)
	}
	l.changed.Broadcast()
	l.mutex.Unlock()
	var closed *closedByEdge
	switch {
	case errors.As(why, &closed):
		l.session.lost(closed.code, closed.reason, true)
	case farewell != nil:
		l.session.lost(uint64(farewell.ErrCode), farewell.DebugData, true)
	default:
		l.session.lost(uint64(broken), why.Error(), false)
	}
	if l.gate.isSilent() {
		l.gate.Close()
	} else {
		l.conn.Close()
	}
}

type closedByEdge struct {
	code   uint64
	reason string
}

func (c *closedByEdge) Error() string { return "closed by the edge: " + c.reason }

func (l *h2Link) close(code uint64, reason string) {
	l.mutex.Lock()
	if l.failure != nil {
		l.mutex.Unlock()
		return
	}
	l.failure = &closedByEdge{code, reason}
	l.changed.Broadcast()
	l.mutex.Unlock()
	if !l.gate.isSilent() {
		l.gate.SetWriteDeadline(time.Now().Add(idleTimeout)) // it may not be reading
		if code != noError {
			l.write(func() error { return l.framer.WriteGoAway(0, http2.ErrCode(code), []byte(reason)) })
		}
		l.conn.Close()
	}
	l.gate.Close() // the reader sees it
}

// freeze also has the registration forgotten after a while, as an idle timeout would.
func (l *h2Link) freeze(silent bool) {
	l.gate.setSilent(silent)
	if silent {
		time.AfterFunc(idleTimeout, func() {
			if l.gate.isSilent() {
				l.session.lost(noError, "nothing came within the idle timeout", false)
			}
		})
	}
}

func (l *h2Link) frozen() bool { return l.gate.isSilent() }

func (l *h2Link) roundTrip() time.Duration { return time.Duration(l.rtt.Load()) }

func (l *h2Link) heard() int64 { return -1 } // TCP tells of its end, and need not hear of anything in between

func (l *h2Link) counters() details {
	return details{"bytes_in": l.gate.bytesIn.Load(), "bytes_out": l.gate.bytesOut.Load()}
}

// ping sends a PING, and calls back when it is answered.
func (l *h2Link) ping(answered func(time.Duration)) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var data [8]byte
	l.pinged++
	binary.BigEndian.PutUint64(data[:], l.pinged)
	begun := time.Now()
	l.pings[data] = func() {
		took := time.Since(begun)
		l.rtt.Store(int64(took))
		answered(took)
	}
	l.orderLocked(func() error { return l.framer.WritePing(false, data) })
}

// goAway says that the edge wants no more of this connection, and may end the control stream: "fin" or "reset".
func (l *h2Link) goAway(code uint32, reason, control string) error {
	err := l.write(func() error { return l.framer.WriteGoAway(0, http2.ErrCode(code), []byte(reason)) })
	l.mutex.Lock()
	stream := l.control
	l.mutex.Unlock()
	switch {
	case err != nil || stream == nil:
	case control == "fin":
		err = stream.CloseWrite()
	case control == "reset":
		stream.abandon()
	}
	return err
}

func (l *h2Link) open(within context.Context, asked request) (exchange, error) {
	stream := &h2Stream{kind: asked.kind, isHead: asked.method == "HEAD", sentEnd: asked.ended}
	return stream, l.begin(within, stream, requestFields(asked))
}

var (
	errReset   = errors.New("the client reset the stream")
	errLeaving = errors.New("the client is going away")
)

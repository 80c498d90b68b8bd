package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The edge on TCP: TLS, and inside it HTTP/2, of which the edge is the client. A network that drops or refuses TCP.

// Ways in which a network treats a protocol.
const (
	networkOpen    = "open"
	networkSilent  = "silent"  // as a firewall that drops: nothing is answered
	networkRefused = "refused" // TCP only: resets
)

// tcpEdge listens for clients.
type tcpEdge struct {
	address  string
	settings *tls.Config
	registry *registry

	mutex    sync.Mutex
	listener net.Listener // nil while it refuses
	network  string
	conns    map[*gatedConn]*h2Link // nil while TLS is not through
}

func newTCPEdge(listener net.Listener, authority *authority, registry *registry) *tcpEdge {
	return &tcpEdge{
		address: listener.Addr().String(), settings: authority.tcpSettings(), registry: registry, listener: listener,
		network: networkOpen, conns: map[*gatedConn]*h2Link{},
	}
}

// serve accepts clients until the listener is closed.
func (e *tcpEdge) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go e.meet(newGatedConn(conn))
	}
}

func (e *tcpEdge) meet(gate *gatedConn) {
	e.mutex.Lock()
	e.conns[gate] = nil
	if e.network != networkOpen {
		gate.setSilent(true) // it may have been in the listener's queue
	}
	e.mutex.Unlock()
	defer func() {
		e.mutex.Lock()
		delete(e.conns, gate)
		e.mutex.Unlock()
		gate.Close()
	}()
	within, cancel := context.WithTimeout(context.Background(), idleTimeout)
	conn := tls.Server(gate, e.settings)
	err := conn.HandshakeContext(within)
	cancel()
	if err != nil {
		return
	}
	client := &session{protocol: "http2", registry: e.registry}
	client.begun(conn.ConnectionState().ServerName)
	if conn.ConnectionState().ServerName == probeName {
		gate.Conn.SetDeadline(time.Now().Add(idleTimeout))
		conn.Read(make([]byte, 1)) // it closes
		conn.Close()
		return
	}
	made := newH2Link(client, conn, gate)
	e.mutex.Lock()
	e.conns[gate] = made
	e.mutex.Unlock()
	made.serve()
}

// treat sets how the network treats TCP: connections that are there, and those that come.
func (e *tcpEdge) treat(how string) error {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	switch how {
	case networkOpen, networkSilent:
		if e.listener == nil {
			listener, err := net.Listen("tcp", e.address)
			if err != nil {
				return err
			}
			e.listener = listener
			go e.serve(listener)
		}
		for gate, made := range e.conns {
			if made != nil {
				made.freeze(how == networkSilent)
			} else {
				gate.setSilent(how == networkSilent)
			}
		}
	case networkRefused:
		if e.listener != nil {
			e.listener.Close()
			e.listener = nil
		}
		for gate := range e.conns {
			gate.reset()
		}
	default:
		return usage("tcp must be %s, %s or %s, not %q", networkOpen, networkSilent, networkRefused, how)
	}
	e.network = how
	return nil
}

// stop closes every connection.
func (e *tcpEdge) stop() {
	e.mutex.Lock()
	if e.listener != nil {
		e.listener.Close()
	}
	var made []*h2Link
	for _, each := range e.conns {
		if each != nil {
			made = append(made, each)
		}
	}
	e.mutex.Unlock()
	for _, each := range made {
		each.close(noError, "the edge stops")
	}
}

// gatedConn can fall silent, as if the network had died: what comes is held back, and nothing leaves.
type gatedConn struct {
	net.Conn
	mutex          sync.Mutex
	changed        *sync.Cond
	silent, closed bool

	bytesIn, bytesOut atomic.Int64
}

func newGatedConn(conn net.Conn) *gatedConn {
	made := &gatedConn{Conn: conn}
	made.changed = sync.NewCond(&made.mutex)
	return made
}

// pass waits until the network lives; false if the connection is closed before.
func (g *gatedConn) pass() bool {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	for g.silent && !g.closed {
		g.changed.Wait()
	}
	return !g.closed
}

func (g *gatedConn) Read(into []byte) (int, error) {
	count, err := g.Conn.Read(into)
	if count > 0 && !g.pass() {
		return 0, net.ErrClosed
	}
	g.bytesIn.Add(int64(count))
	return count, err
}

func (g *gatedConn) Write(from []byte) (int, error) {
	if !g.pass() {
		return 0, net.ErrClosed
	}
	g.bytesOut.Add(int64(len(from)))
	return g.Conn.Write(from)
}

func (g *gatedConn) Close() error {
	g.mutex.Lock()
	g.closed = true
	g.mutex.Unlock()
	g.changed.Broadcast()
	return g.Conn.Close()
}

func (g *gatedConn) setSilent(silent bool) {
	g.mutex.Lock()
	g.silent = silent
	g.mutex.Unlock()
	g.changed.Broadcast()
}

func (g *gatedConn) isSilent() bool {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.silent
}

// reset ends the connection without a farewell.
func (g *gatedConn) reset() {
	if tcp, is := g.Conn.(*net.TCPConn); is {
		tcp.SetLinger(0)
	}
	g.Close()
}

const bindTries = 50 // free UDP ports whose TCP port was another's

// bindBoth binds UDP and TCP, the same port of both if TCP has no address of its own.
func bindBoth(udp, tcp string) (*net.UDPConn, net.Listener, error) {
	wanted, err := net.ResolveUDPAddr("udp", udp)
	if err != nil {
		return nil, nil, err
	}
	for try := 1; ; try++ {
		conn, err := net.ListenUDP("udp", wanted)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot bind UDP %s: %w", udp, err)
		}
		address := tcp
		if address == "" {
			address = conn.LocalAddr().String()
		}
		listener, err := net.Listen("tcp", address)
		if err == nil {
			return conn, listener, nil
		}
		conn.Close()
		if tcp != "" || wanted.Port != 0 || try == bindTries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, nil, fmt.Errorf("cannot bind TCP %s: %w", address, err)
		}
	}
}

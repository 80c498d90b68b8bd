package main

import (
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/net/ipv4"
)

// udpSocket is the edge's socket. It can fall silent towards a peer, as a network that has died does, and it counts.
// quic-go reads and writes it as the socket it is, GSO and ECN included.
type udpSocket struct {
	*net.UDPConn
	batch     *ipv4.PacketConn
	anyFrozen atomic.Int32 // so that the map is not asked for every datagram
	frozen    sync.Map     // address as text → true
	silent    atomic.Bool  // the network drops UDP

	datagramsIn, datagramsOut atomic.Int64 // a train of segments (GSO) is one
}

func newUDPSocket(conn *net.UDPConn) *udpSocket {
	return &udpSocket{UDPConn: conn, batch: ipv4.NewPacketConn(conn)}
}

// freeze ends, or takes up again, all talk with a peer.
func (s *udpSocket) freeze(peer net.Addr, silent bool) {
	if silent {
		if _, already := s.frozen.LoadOrStore(peer.String(), true); !already {
			s.anyFrozen.Add(1)
		}
	} else if _, was := s.frozen.LoadAndDelete(peer.String()); was {
		s.anyFrozen.Add(-1)
	}
}

func (s *udpSocket) isFrozen(peer net.Addr) bool {
	if s.anyFrozen.Load() == 0 {
		return s.silent.Load()
	}
	_, silent := s.frozen.Load(peer.String())
	return silent || s.silent.Load()
}

// treat sets how the network treats UDP.
func (s *udpSocket) treat(how string) error {
	if how != networkOpen && how != networkSilent {
		return usage("udp must be %s or %s, not %q", networkOpen, networkSilent, how)
	}
	s.silent.Store(how == networkSilent)
	return nil
}

// ReadBatch is what quic-go reads with. A datagram of a silent peer becomes an empty one, which it drops.
func (s *udpSocket) ReadBatch(messages []ipv4.Message, flags int) (int, error) {
	count, err := s.batch.ReadBatch(messages, flags)
	for i := range max(count, 0) {
		if s.isFrozen(messages[i].Addr) {
			messages[i].N = 0
		} else {
			s.datagramsIn.Add(1)
		}
	}
	return count, err
}

// WriteMsgUDP is what quic-go writes with.
func (s *udpSocket) WriteMsgUDP(data, control []byte, peer *net.UDPAddr) (int, int, error) {
	if s.isFrozen(peer) {
		return len(data), len(control), nil
	}
	s.datagramsOut.Add(1)
	return s.UDPConn.WriteMsgUDP(data, control, peer)
}

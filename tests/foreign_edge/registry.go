package main

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What the edge knows: tunnels, their registered connections, what a test wants answered, and what happened.

const (
	maxLog     = 10_000 // entries that are kept: enough for a long test
	maxTunnels = 10_000
	duplicate  = "EDUPCONN" // the cause when an index is held by another connection

	// Without a datagram for so long after a request, a connection counts as silent, since a client acknowledges within
	// 25 ms. It is passed over while others speak: it may be dead, which over UDP nobody says before the idle timeout.
	silence = 250 * time.Millisecond
)

type uuid [16]byte

func newUUID() uuid {
	var id uuid
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// parseUUID reads one, with hyphens or without.
func parseUUID(text string) (uuid, error) {
	id, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err == nil && len(id) != len(uuid{}) {
		err = fmt.Errorf("%q is no UUID", text)
	}
	if err != nil {
		return uuid{}, err
	}
	return uuid(id), nil
}

func (id uuid) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// connection is one that is registered.
type connection struct {
	id       uuid
	tunnel   *tunnel
	index    int
	session  *session
	clientID []byte // which process it is of: replicas of a tunnel have the same indices
	version  string
	draining bool // it has unregistered: no new requests
	asked    struct {
		at    time.Time // when it was given a request; zero if something was heard since
		heard int64     // what had been heard by then
	}
}

// silent says whether it was given a request and has not said a word since, for longer than a living one takes.
func (c *connection) silent(now time.Time) bool {
	if c.asked.at.IsZero() || now.Sub(c.asked.at) <= silence {
		return false
	}
	if c.session.link.heard() != c.asked.heard {
		c.asked.at = time.Time{}
		return false
	}
	return true
}

// ask notes that it is given a request. Of a connection whose loss is told as it happens nothing need be heard.
func (c *connection) ask(now time.Time) {
	if c.asked.at.IsZero() {
		if heard := c.session.link.heard(); heard >= 0 {
			c.asked.at, c.asked.heard = now, heard
		}
	}
}

// refusal is the edge's answer to a registration that it does not take.
type refusal struct {
	cause       string
	retryAfter  float64 // seconds
	shouldRetry bool
}

// rule is how the next registrations are answered.
type rule struct {
	refusal *refusal // nil: not at all
	times   int
	index   *int
}

type ruleRequest struct {
	Answer     string  `json:"answer"`
	Cause      *string `json:"cause"`
	RetryAfter float64 `json:"retry_after"`
	Times      *int    `json:"times"`
	Index      *int    `json:"index"`
}

func (asked ruleRequest) rule() (*rule, error) {
	cause, times := fmt.Sprintf("refused on request (%s)", asked.Answer), 1
	if asked.Cause != nil {
		cause = *asked.Cause
	}
	if asked.Times != nil {
		times = *asked.Times
	}
	made := &rule{times: times, index: asked.Index}
	switch asked.Answer {
	case "permanent":
		made.refusal = &refusal{cause: cause}
	case "retry":
		made.refusal = &refusal{cause, asked.RetryAfter, true}
	case "duplicate":
		made.refusal = &refusal{duplicate, 0, true}
	case "silence":
	default:
		return nil, fmt.Errorf("answer must be permanent, retry, duplicate or silence, not %q", asked.Answer)
	}
	return made, nil
}

type details map[string]any

type registry struct {
	mutex       sync.Mutex
	tunnels     []*tunnel
	connections []*connection
	rules       []*rule
	log         []details
	notes       int

	streams, bytesIn, bytesOut atomic.Int64 // of the front's requests; in: edge → client
}

// tunnelWords are short and harmless, for names that can be read aloud.
var tunnelWords = strings.Fields(`amber apple birch bright brook calm cedar clear cloud coral daisy dawn delta early
	ember field flint gentle glade green harbor hazel honey island ivory jade juniper kind lake lemon lilac maple
	meadow mint moss north oak ocean olive orchid pearl pine plum quiet rain river robin rose sage silver sky snow
	spring stone summer sunny swift tidal tulip valley violet warm willow winter`)

func (r *registry) newTunnel(domain string) *tunnel {
	words := make([]string, 4)
	for i := range words {
		words[i] = tunnelWords[mathrand.IntN(len(tunnelWords))]
	}
	random := make([]byte, 12+16+32)
	rand.Read(random)
	made := &tunnel{
		id: newUUID(), name: "qt-" + base64.RawURLEncoding.EncodeToString(random[:12]),
		given: strings.Join(words, "-") + "." + domain, accountTag: hex.EncodeToString(random[12:28]),
		secret: random[28:], quick: true,
	}
	r.keep(made)
	return made
}

// newNamed makes a named tunnel, whose token is for as many clients as want it.
func (r *registry) newNamed(domain string) *tunnel {
	random := make([]byte, 16+32)
	rand.Read(random)
	made := named(newUUID(), hex.EncodeToString(random[:16]), random[16:], domain)
	r.keep(made)
	return made
}

// keep makes a tunnel known; false if one of that id is.
func (r *registry) keep(made *tunnel) bool {
	made.settle()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if slices.ContainsFunc(r.tunnels, func(t *tunnel) bool { return t.id == made.id }) {
		return false
	}
	if r.tunnels = append(r.tunnels, made); len(r.tunnels) > maxTunnels {
		r.tunnels = r.tunnels[1:]
	}
	return true
}

// tunnel is the one of that id, or nil. The mutex is held.
func (r *registry) tunnel(id string) *tunnel {
	for _, known := range r.tunnels {
		if known.id.String() == id {
			return known
		}
	}
	return nil
}

// dropTunnel forgets a tunnel and its connections, and returns these; false if there is none of that id.
func (r *registry) dropTunnel(id string) ([]*connection, bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	at := slices.IndexFunc(r.tunnels, func(t *tunnel) bool { return t.id.String() == id })
	if at < 0 {
		return nil, false
	}
	r.tunnels = slices.Delete(r.tunnels, at, at+1)
	var dropped []*connection
	r.connections = slices.DeleteFunc(r.connections, func(c *connection) bool {
		if c.tunnel.id.String() == id {
			dropped = append(dropped, c)
			return true
		}
		return false
	})
	return dropped, true
}

// register judges a registration: a connection, a refusal, or neither, which is silence.
func (r *registry) register(by *session, asked registrationParams) (*connection, *refusal) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, made := range r.rules {
		if made.times > 0 && (made.index == nil || *made.index == asked.index) {
			made.times--
			return nil, made.refusal
		}
	}
	if len(asked.tunnelID) != len(uuid{}) {
		return nil, &refusal{cause: "tunnel id is no UUID"}
	}
	at := slices.IndexFunc(r.tunnels, func(t *tunnel) bool { return t.id == uuid(asked.tunnelID) })
	switch {
	case at < 0:
		return nil, &refusal{cause: "no such tunnel"}
	case subtle.ConstantTimeCompare(r.tunnels[at].secret, asked.secret) == 0:
		return nil, &refusal{cause: "Unauthorized: Invalid tunnel secret"}
	case r.tunnels[at].accountTag != asked.accountTag:
		return nil, &refusal{cause: "Unauthorized: the tunnel belongs to another account"}
	case len(asked.clientID) != len(uuid{}):
		return nil, &refusal{cause: "client id is no UUID"}
	}
	for _, held := range slices.Clone(r.connections) {
		if held.tunnel == r.tunnels[at] && bytes.Equal(held.clientID, asked.clientID) && held.index == asked.index &&
			!held.draining {
			if !asked.replaceExisting {
				return nil, &refusal{duplicate, 0, true}
			}
			r.removeLocked(held)
		}
	}
	made := &connection{
		id: newUUID(), tunnel: r.tunnels[at], index: asked.index, session: by, clientID: asked.clientID,
		version: asked.version,
	}
	r.connections = append(r.connections, made)
	return made, nil
}

func (r *registry) remove(gone *connection) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.removeLocked(gone)
}

func (r *registry) removeLocked(gone *connection) {
	r.connections = slices.DeleteFunc(r.connections, func(c *connection) bool { return c == gone })
}

func (r *registry) drain(leaving *connection) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	leaving.draining = true
}

func (r *registry) isDraining(asked *connection) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return asked.draining
}

// connection is the one of that id, or nil.
func (r *registry) connection(id string) *connection {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, held := range r.connections {
		if held.id.String() == id {
			return held
		}
	}
	return nil
}

// learn notes the configuration that a tunnel's client works by.
func (r *registry) learn(about *tunnel, configuration []byte) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	about.learn(configuration)
}

// hostname is the one by which a tunnel is told.
func (r *registry) hostname(of *tunnel) string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return of.hostname()
}

// route is the connection whose turn it is for a host, or nil. Each of a tunnel's connections has its turn, whichever
// process it is of; but one that has fallen silent has none while another speaks. A host that is no tunnel's is served
// while all connections are of one tunnel: not every resolver knows *.localhost.
func (r *registry) route(host string) *connection {
	host = withoutPort(host)
	now := time.Now()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	best, single, of := 0, true, (*tunnel)(nil)
	var last *tunnel
	for _, held := range r.connections {
		if held.draining || held.tunnel == last {
			continue
		}
		single = single && last == nil
		last = held.tunnel
		if fits := last.fit(host); fits > best {
			best, of = fits, last
		}
	}
	if best == 0 && single {
		of = last
	}
	if of == nil {
		return nil
	}
	// Who serves is counted first and chosen then, without a list of them for every request.
	serving, speaking := 0, 0
	for _, held := range r.connections {
		if held.tunnel == of && !held.draining {
			serving++
			if !held.silent(now) {
				speaking++
			}
		}
	}
	of.turn++
	skip := of.turn % max(speaking, 1)
	if speaking == 0 {
		skip = of.turn % serving
	}
	for _, held := range r.connections {
		if held.tunnel != of || held.draining || speaking > 0 && held.silent(now) {
			continue
		}
		if skip == 0 {
			held.ask(now)
			return held
		}
		skip--
	}
	return nil
}

// note writes a line of the log.
func (r *registry) note(event string, more details) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.notes++
	more["seq"], more["event"], more["at"] = r.notes, event, float64(time.Now().UnixMicro())/1e6
	if r.log = append(r.log, more); len(r.log) > maxLog {
		r.log = r.log[1:]
	}
}

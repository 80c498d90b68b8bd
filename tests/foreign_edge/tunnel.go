package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// A tunnel and its names, by which visitors come to it.

// tunnel is a quick one, which the API gave away, or a named one, which was made known.
type tunnel struct {
	id              uuid
	name            string
	given           string // the hostname that it has from the edge, with the front's port
	accountTag      string
	secret          []byte
	quick           bool
	remotelyManaged bool     // what registrations are told: its rules are the edge's to push
	hostnames       []string // those that it was given besides; with any it has no others
	configured      []string // those that its configuration names
	turn            int      // requests that were given to its connections

	exact, suffixes []string // all of them, as hosts are compared with them
}

// named is a tunnel that somebody has a token of. Its hostname is its id, under a domain.
func named(id uuid, accountTag string, secret []byte, domain string) *tunnel {
	return &tunnel{id: id, name: id.String(), given: id.String() + "." + domain, accountTag: accountTag, secret: secret}
}

// tokenContent is what a token says.
type tokenContent struct {
	Account string `json:"a"`
	Tunnel  string `json:"t"`
	Secret  []byte `json:"s"`
}

// token is what clients are given to run the tunnel.
func (t *tunnel) token() string {
	said, _ := json.Marshal(tokenContent{t.accountTag, t.id.String(), t.secret})
	return base64.StdEncoding.EncodeToString(said)
}

func readToken(token, domain string) (*tunnel, error) {
	text, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return nil, err
	}
	var said tokenContent
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, err
	}
	id, err := parseUUID(said.Tunnel)
	if err != nil {
		return nil, err
	}
	return named(id, said.Account, said.Secret, domain), nil
}

// names are all by which visitors come to it.
func (t *tunnel) names() []string {
	if len(t.hostnames) > 0 {
		return t.hostnames
	}
	return append([]string{t.given}, t.configured...)
}

// hostname is the one that is told: a name that its rules know, if they know any.
func (t *tunnel) hostname() string {
	if len(t.hostnames) > 0 {
		return t.hostnames[0]
	}
	for _, name := range t.configured {
		if !strings.HasPrefix(name, "*") {
			return name
		}
	}
	return t.given
}

// learn takes the names of a configuration: they lead here, as DNS would lead them at the service. A quick tunnel has
// one name, whatever its rules say.
func (t *tunnel) learn(configuration []byte) {
	if t.quick {
		return
	}
	var said struct {
		Ingress []struct{ Hostname string }
	}
	json.Unmarshal(configuration, &said) // what is none names nothing
	t.configured = nil
	for _, rule := range said.Ingress {
		if rule.Hostname != "" && rule.Hostname != "*" && !slices.Contains(t.configured, rule.Hostname) {
			t.configured = append(t.configured, rule.Hostname)
		}
	}
	t.settle()
}

// settle prepares the names for comparison.
func (t *tunnel) settle() {
	t.exact, t.suffixes = nil, nil
	for _, name := range t.names() {
		name = withoutPort(name)
		if suffix, is := strings.CutPrefix(name, "*"); is && strings.HasPrefix(suffix, ".") {
			t.suffixes = append(t.suffixes, suffix)
			continue
		}
		t.exact = append(t.exact, name)
		if inDNS, err := idna.ToASCII(name); err == nil && inDNS != name {
			t.exact = append(t.exact, inDNS)
		}
	}
}

// fit is how well a host fits: 0 not at all, and more the more of it a name says.
func (t *tunnel) fit(host string) int {
	if slices.Contains(t.exact, host) {
		return len(host) + 1
	}
	best := 0
	for _, suffix := range t.suffixes {
		if strings.HasSuffix(host, suffix) {
			best = max(best, len(suffix))
		}
	}
	return best
}

// withoutPort gives a Host field as names are compared: the port differs where it is forwarded.
func withoutPort(host string) string {
	host, _, _ = strings.Cut(host, ":")
	return strings.ToLower(host)
}

func (t *tunnel) String() string { return fmt.Sprintf("tunnel %v", t.id) } // without its secret

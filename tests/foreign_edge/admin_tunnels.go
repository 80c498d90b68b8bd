package main

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"sync"
)

// The control port's calls about tunnels: what is known, named ones, their names, and configurations for them.

func (a *admin) tunnels(*http.Request) (any, error) {
	a.registry.mutex.Lock()
	defer a.registry.mutex.Unlock()
	told := []details{}
	for _, made := range a.registry.tunnels {
		told = append(told, details{
			"id": made.id.String(), "hostname": made.hostname(), "names": made.names(),
			"remotely_managed": made.remotelyManaged, "secret": hex.EncodeToString(made.secret),
		})
	}
	return told, nil
}

// tunnelChange is what a test may set of a tunnel.
type tunnelChange struct {
	Token           *string  `json:"token"` // of POST alone
	Hostnames       []string `json:"hostnames"`
	RemotelyManaged *bool    `json:"remotely_managed"`
}

func (asked tunnelChange) apply(to *tunnel) {
	if asked.Hostnames != nil {
		to.hostnames = asked.Hostnames
	}
	if asked.RemotelyManaged != nil {
		to.remotelyManaged = *asked.RemotelyManaged
	}
	to.settle()
}

func readChange(r *http.Request) (tunnelChange, error) {
	var asked tunnelChange
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil && err != io.EOF {
		return asked, usage("the body must be a JSON object: %v", err)
	}
	return asked, nil
}

// knowTunnel makes a named tunnel known: one that somebody has a token of, or a new one.
func (a *admin) knowTunnel(r *http.Request) (any, error) {
	asked, err := readChange(r)
	if err != nil {
		return nil, err
	}
	var known *tunnel
	if asked.Token == nil {
		known = a.registry.newNamed(a.domain)
	} else if known, err = readToken(*asked.Token, a.domain); err != nil {
		return nil, usage("token: %v", err)
	} else if !a.registry.keep(known) {
		return nil, usage("tunnel %v is known already", known.id)
	}
	a.registry.mutex.Lock()
	defer a.registry.mutex.Unlock()
	asked.apply(known)
	return details{"id": known.id.String(), "hostname": known.hostname(), "token": known.token()}, nil
}

func (a *admin) changeTunnel(r *http.Request) (any, error) {
	asked, err := readChange(r)
	if err != nil {
		return nil, err
	}
	a.registry.mutex.Lock()
	defer a.registry.mutex.Unlock()
	known := a.registry.tunnel(r.PathValue("id"))
	if known == nil || asked.Token != nil {
		return nil, usage("there is no tunnel %q, or its token is to be another", r.PathValue("id"))
	}
	asked.apply(known)
	return details{}, nil
}

// pushRequest is a configuration: JSON, or a text that is sent as it is.
type pushRequest struct {
	Version    *int32          `json:"version"`
	Config     json.RawMessage `json:"config"`
	Connection string          `json:"connection"` // the only one that it goes to
	Waits      bool            `json:"waits"`
}

// push hands a configuration to the connections of a tunnel, and tells what each answers.
func (a *admin) push(r *http.Request) (any, error) {
	var asked pushRequest
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	if asked.Version == nil || asked.Config == nil {
		return nil, usage("version and config are needed")
	}
	config := []byte(asked.Config)
	var text string
	if json.Unmarshal(config, &text) == nil && config[0] == '"' {
		config = []byte(text)
	}
	known, to := a.pushTo(r.PathValue("id"), asked.Connection)
	if len(to) == 0 {
		return nil, usage("tunnel %q has no such connection", r.PathValue("id"))
	}
	arguments := callArguments{Version: *asked.Version, Config: hex.EncodeToString(config), Waits: asked.Waits}
	answers := make([]details, len(to))
	var all sync.WaitGroup
	for i, held := range to {
		all.Add(1)
		go func() {
			defer all.Done()
			answers[i] = pushOver(held, arguments)
		}()
	}
	all.Wait()
	for _, answer := range answers {
		if answer["latestAppliedVersion"] == *asked.Version && answer["err"] == "" {
			a.registry.learn(known, config)
			break
		}
	}
	a.registry.note("pushed", details{"tunnel": known.id.String(), "version": *asked.Version, "answers": answers})
	return answers, nil
}

// pushTo is a tunnel, and its connections, or the one of an id.
func (a *admin) pushTo(id, only string) (*tunnel, []*connection) {
	a.registry.mutex.Lock()
	defer a.registry.mutex.Unlock()
	known := a.registry.tunnel(id)
	var to []*connection
	for _, held := range a.registry.connections {
		if held.tunnel == known && (only == "" || held.id.String() == only) {
			to = append(to, held)
		}
	}
	return known, to
}

func pushOver(held *connection, arguments callArguments) details {
	told := details{
		"connection": held.id.String(), "client_id": hex.EncodeToString(held.clientID), "index": held.index,
		"protocol": held.session.protocol,
	}
	answer, err := held.session.link.call(methods["updateConfiguration"], arguments)
	if err != nil {
		told["failure"] = err.Error()
		return told
	}
	for name, value := range answer["result"].(map[string]any) {
		told[name] = value
	}
	return told
}

package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// Heads over HTTP/2: a request's headers are fields as they are, those of an answer are one field, serialised.

const (
	kindField       = "cf-cloudflared-proxy-connection-upgrade"
	kindControl     = "control-stream"
	kindOfUpgrade   = "websocket"
	kindOfUpdate    = "update-configuration"
	tcpField        = "cf-cloudflared-proxy-src"
	metaField       = "cf-cloudflared-response-meta"
	serializedField = "cf-cloudflared-response-headers"
	metaOrigin      = `{"src":"origin"}`
)

// requestFields gives a visitor's request as the client wants it.
func requestFields(asked request) []hpack.HeaderField {
	fields := make([]hpack.HeaderField, 0, len(asked.headers)+6)
	add := func(name, value string) { fields = append(fields, hpack.HeaderField{Name: name, Value: value}) }
	add(":method", asked.method)
	add(":scheme", "https")
	add(":authority", asked.host)
	add(":path", asked.target)
	switch asked.kind {
	case kindWebSocket:
		add(kindField, kindOfUpgrade)
	case kindTCP:
		add(tcpField, "127.0.0.9")
	}
	for _, header := range asked.headers {
		add(strings.ToLower(header.key), header.value)
	}
	if asked.trailers {
		add("te", "trailers")
	}
	return fields
}

// ownAnswer is one that the client gave instead of its origin.
type ownAnswer struct {
	status int
	text   string
}

func (a *ownAnswer) Error() string { return a.text }

func fieldOf(fields []hpack.HeaderField, name string) (string, bool) {
	for _, field := range fields {
		if field.Name == name {
			return field.Value, true
		}
	}
	return "", false
}

// readAnswerFields reads the status and the origin's headers from a response's fields.
func readAnswerFields(fields []hpack.HeaderField, asked int, header http.Header) (int, error) {
	text, _ := fieldOf(fields, ":status")
	status, err := strconv.Atoi(text)
	if err != nil || status < 200 || status > 999 {
		return 0, errNoStatus
	}
	if meta, _ := fieldOf(fields, metaField); meta != metaOrigin {
		return 0, &ownAnswer{status, fmt.Sprintf("the client answers %d by itself: %s %q", status, metaField, meta)}
	}
	serialized, is := fieldOf(fields, serializedField)
	if !is {
		return 0, fmt.Errorf("the client's answer has no %s", serializedField)
	}
	pairs, err := deserialize(serialized)
	if err != nil {
		return 0, err
	}
	for _, entry := range pairs {
		header.Add(entry.key, entry.value)
	}
	if asked == kindWebSocket && status == http.StatusOK && header.Get("Upgrade") != "" {
		return http.StatusSwitchingProtocols, nil // HTTP/2 has no 101
	}
	return status, nil
}

var errSerialized = errors.New("the client's serialised headers are malformed")

// deserialize reads base64(name):base64(value), without padding, joined with semicolons.
func deserialize(text string) ([]pair, error) {
	var pairs []pair
	for _, piece := range strings.Split(text, ";") {
		if piece == "" {
			continue
		}
		parts := strings.Split(piece, ":")
		if len(parts) != 2 {
			return nil, errSerialized
		}
		name, err := base64.RawStdEncoding.Strict().DecodeString(parts[0])
		if err != nil {
			return nil, errSerialized
		}
		value, err := base64.RawStdEncoding.Strict().DecodeString(parts[1])
		if err != nil {
			return nil, errSerialized
		}
		pairs = append(pairs, pair{string(name), string(value)})
	}
	return pairs, nil
}

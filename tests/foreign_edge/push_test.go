package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"
)

// Pushes of configurations, against bytes that the official client and Go's own RPC exchanged
// (tests/data/named-tunnels-golden.json).

type goldenPush struct {
	Version int32
	Config  string
	Answer  goldenAnswer
	Writes  []struct{ From, Hex string }
}

type goldenAnswer struct {
	LatestAppliedVersion int32
	Err                  string
}

func readGolden(t testing.TB, into any) {
	text, err := os.ReadFile("../data/named-tunnels-golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func TestPushesAreGosOwnBytes(t *testing.T) {
	var golden struct {
		Pushes map[string]goldenPush `json:"go_rpc"`
	}
	readGolden(t, &golden)
	for name, push := range golden.Pushes {
		var theirs, client []byte
		waits := false
		for i, write := range push.Writes {
			switch written := unhex(t, write.Hex); write.From {
			case "edge":
				theirs = append(theirs, written...)
			case "client":
				client = append(client, written...)
				waits = waits || i == 2 // before the call
			}
		}
		stream := &conversation{Reader: bytes.NewReader(client)}
		arguments := callArguments{Version: push.Version, Config: hex.EncodeToString([]byte(push.Config)), Waits: waits}
		told, err := converse(stream, methods["updateConfiguration"], arguments)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if ours := stream.Buffer.Bytes(); !bytes.Equal(ours, theirs) {
			t.Errorf("%s:\n%x\n%x", name, ours, theirs)
		}
		compareAnswer(t, name, told, push.Answer)
	}
}

func compareAnswer(t *testing.T, name string, told map[string]any, want goldenAnswer) {
	answer := told["result"].(map[string]any)
	if answer["latestAppliedVersion"] != want.LatestAppliedVersion || answer["err"] != want.Err {
		t.Errorf("%s: %v", name, answer)
	}
}

func TestAnswersOfTheOfficialClient(t *testing.T) {
	var golden struct {
		Pushes []struct {
			goldenAnswer
			Hex string `json:"answer_hex"`
		}
	}
	readGolden(t, &golden)
	for _, push := range golden.Pushes {
		stream := &conversation{Reader: bytes.NewReader(unhex(t, push.Hex))}
		told, err := converse(stream, methods["updateConfiguration"], callArguments{})
		if err != nil {
			t.Fatal(err)
		}
		compareAnswer(t, push.Hex, told, push.goldenAnswer)
	}
}

func TestTokensAreTheOfficialClients(t *testing.T) {
	var golden struct{ Token string }
	readGolden(t, &golden)
	read, err := readToken(golden.Token, "localhost:1")
	if err != nil {
		t.Fatal(err)
	}
	if read.id.String() != "11111111-2222-4333-8444-555555555555" || len(read.accountTag) != 32 ||
		len(read.secret) != 32 || read.secret[1] != 1 {
		t.Fatal(read.id, read.accountTag)
	}
	again, err := readToken(read.token(), "localhost:1")
	if err != nil || again.id != read.id || again.accountTag != read.accountTag || !bytes.Equal(again.secret, read.secret) {
		t.Fatal(err)
	}
}

// deafLink is a connection from which nothing comes.
type deafLink struct {
	link
	count int64
}

func (d *deafLink) heard() int64 { return d.count }

func TestTurns(t *testing.T) {
	registry := &registry{}
	known := registry.newNamed("localhost:1")
	register := func(client byte, index int, count int64) *connection {
		made, denied := registry.register(&session{link: &deafLink{count: count}, registry: registry}, registrationParams{
			accountTag: known.accountTag, secret: known.secret, tunnelID: known.id[:], index: index,
			clientID: bytes.Repeat([]byte{client}, 16),
		})
		if denied != nil && denied.cause != duplicate {
			t.Fatal(denied.cause)
		}
		return made
	}
	all := []*connection{register(1, 0, 5), register(1, 1, -1), register(2, 0, -1), register(2, 1, -1)}
	if register(2, 1, -1) != nil {
		t.Fatal("an index is held twice by one client")
	}
	count := func(of int) map[*connection]int {
		counted := map[*connection]int{}
		for range of {
			counted[registry.route(known.given)]++
		}
		return counted
	}
	for _, each := range all {
		if got := count(40)[each]; got != 10 {
			t.Fatal(got)
		}
	}
	all[0].asked.at = time.Now().Add(-2 * silence) // it was given a request then, and nothing was heard since
	if counted := count(30); counted[all[0]] != 0 || counted[all[3]] != 10 {
		t.Fatal(counted)
	}
	all[0].session.link.(*deafLink).count++
	if counted := count(40); counted[all[0]] != 10 {
		t.Fatal(counted)
	}
}

func TestNames(t *testing.T) {
	registry := &registry{}
	known := registry.newNamed("localhost:1")
	quick := registry.newTunnel("localhost:1")
	config := []byte(`{"Ingress":[{"hostname":"*.x.y"},{"hostname":"b\u00fccher.z"},{"hostname":"*"},{"service":"http_status:404"}]}`)
	registry.learn(known, config)
	registry.learn(quick, config)
	for host, fits := range map[string]bool{
		"A.b.X.y:80": true, "x.y": false, "xn--bcher-kva.z": true, "bücher.z": true, known.given: true, "z": false,
	} {
		if (known.fit(withoutPort(host)) > 0) != fits {
			t.Error(host)
		}
	}
	if quick.fit("a.x.y") > 0 || quick.fit(withoutPort(quick.given)) == 0 || known.hostname() != "bücher.z" {
		t.Error("a quick tunnel has one name, and a named one those of its rules")
	}
	tunnelChange{Hostnames: []string{"only.z"}}.apply(known)
	if known.fit("only.z") == 0 || known.fit("a.x.y") > 0 || known.hostname() != "only.z" {
		t.Error(known.names())
	}
}

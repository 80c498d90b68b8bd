// Command foreign-edge stands for Cloudflare's edge in tests and benchmarks, on quic-go, a QUIC that others wrote.
// `foreign-edge origin` is an origin, `foreign-edge load` a load, `foreign-edge client` a client over HTTP/2. README.md says more.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const exitSetup = 10 // an address cannot be bound, as bin/local-edge says it

var quiet = log.New(io.Discard, "", 0)

func main() {
	arguments, run := os.Args[1:], runEdge
	if len(arguments) > 0 {
		switch arguments[0] {
		case "origin":
			arguments, run = arguments[1:], runOrigin
		case "client":
			arguments, run = arguments[1:], runClient
		case "load":
			arguments, run = arguments[1:], runLoad
		}
	}
	if err := run(arguments); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "foreign-edge:", err)
		os.Exit(exitSetup)
	}
}

// runEdge serves until a signal ends it. When it is ready it prints one line of JSON, as bin/local-edge does.
func runEdge(arguments []string) error {
	flags := flag.NewFlagSet("foreign-edge", flag.ContinueOnError)
	api := flags.String("api", "127.0.0.1:0", "the tunnel API (POST /tunnel)")
	quicAddress := flags.String("quic", "127.0.0.1:0", "the edge itself (UDP)")
	tcpAddress := flags.String("tcp", "", "the edge itself (TCP); the same address as UDP's if none is given")
	public := flags.String("http", "127.0.0.1:0", "the public front")
	adminAddress := flags.String("admin", "127.0.0.1:0", "the endpoints for tests")
	delay := flags.Duration("api-delay", 0, "how long the API thinks")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	folder, err := os.MkdirTemp("", "foreign-edge-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	registry := &registry{}
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	path := filepath.Join(folder, "ca.pem")
	if err := os.WriteFile(path, authority.pem, 0o600); err != nil {
		return err
	}
	conn, listener, err := bindBoth(*quicAddress, *tcpAddress)
	if err != nil {
		return err
	}
	overTCP := newTCPEdge(listener, authority, registry)
	defer overTCP.stop()
	overQUIC, err := listenQUIC(conn, authority, registry)
	if err != nil {
		return err
	}
	defer overQUIC.stop()
	front := newFront(registry)
	frontAddress, err := serveHTTP(front, *public)
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(frontAddress)
	domain := "localhost:" + port
	apiAddress, err := serveHTTP(&http.Server{Handler: newAPI(registry, domain, *delay)}, *api)
	if err != nil {
		return err
	}
	adminListens, err := serveHTTP(&http.Server{Handler: newAdmin(registry, overQUIC.socket, overTCP, domain)}, *adminAddress)
	if err != nil {
		return err
	}
	go overQUIC.serve()
	go overTCP.serve(listener)
	line, err := json.Marshal(map[string]any{
		"api": "http://" + apiAddress, "edge": conn.LocalAddr().String(), "tcp": listener.Addr().String(),
		"http": "http://" + frontAddress, "admin": "http://" + adminListens, "ca": path, "pid": os.Getpid(),
	})
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	<-stop
	front.Close()
	return nil
}

// serveHTTP serves in the background; it returns the address that was bound.
func serveHTTP(server *http.Server, address string) (string, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", fmt.Errorf("cannot bind TCP %s: %w", address, err)
	}
	server.ErrorLog, server.ReadHeaderTimeout = quiet, time.Minute
	go server.Serve(listener)
	return listener.Addr().String(), nil
}

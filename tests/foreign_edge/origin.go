package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The origin of the benchmarks: as little work for an answer as net/http allows.

var (
	smallBody = []byte(strings.Repeat("x", 128))
	zeros     = make([]byte, 256<<10)
)

// newOrigin serves
//
//	GET  /small     128 bytes
//	GET  /down/N    N bytes
//	POST /up        reads the body, answers with 128 bytes
//	POST /echo      the body, as it comes
//	GET  /hold      a head, and a body that never comes
//	GET  /socket    an upgrade; whatever comes goes back
//	GET  /sse       an event every 10 ms, 100 of them
func newOrigin() http.Handler {
	routes := http.NewServeMux()
	small := func(w http.ResponseWriter) {
		w.Header()["Content-Type"] = []string{"text/plain"}
		w.Header()["Content-Length"] = []string{"128"}
		w.Write(smallBody)
	}
	routes.HandleFunc("GET /small", func(w http.ResponseWriter, r *http.Request) { small(w) })
	routes.HandleFunc("GET /down/{size}", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.ParseInt(r.PathValue("size"), 10, 64)
		if err != nil || size < 0 {
			http.Error(w, "no size", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		for size > 0 {
			count, err := w.Write(zeros[:min(size, int64(len(zeros)))])
			if size -= int64(count); err != nil {
				return
			}
		}
	})
	routes.HandleFunc("POST /up", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			small(w)
		}
	})
	routes.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		control.EnableFullDuplex()
		w.Header().Set("Content-Type", "application/octet-stream")
		piece := make([]byte, pieceBytes)
		for {
			count, err := r.Body.Read(piece)
			if count > 0 {
				w.Write(piece[:count])
				control.Flush()
			}
			if err != nil {
				return
			}
		}
	})
	routes.HandleFunc("GET /hold", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	routes.HandleFunc("GET /socket", func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(conn, buffered)
	})
	routes.HandleFunc("GET /sse", func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 100 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			if control.Flush() != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	return routes
}

func runOrigin(arguments []string) error {
	flags := flag.NewFlagSet("foreign-edge origin", flag.ContinueOnError)
	address := flags.String("http", "127.0.0.1:0", "where it listens")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	bound, err := serveHTTP(&http.Server{Handler: newOrigin()}, *address)
	if err != nil {
		return err
	}
	json.NewEncoder(os.Stdout).Encode(details{"http": "http://" + bound, "pid": os.Getpid()})
	<-stop
	return nil
}

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A load as wrk makes it: so many connections that stay open, on each one request after the other. What a response
// says is read and thrown away, with hardly more work than reading it, so that this is no brake.

// browserFields are what a browser sends along.
const browserFields = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Encoding: gzip, br\r\n"

type loadOptions struct {
	url     *url.URL
	host    string
	atOnce  int
	seconds float64
	count   int64 // requests in all; 0: until the time is over
	body    int64 // bytes that each request sends; 0: GET
}

// loadResult is what is printed; times are in seconds.
type loadResult struct {
	Count    int     `json:"count"`
	Failures int     `json:"failures"`
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"rate"`
	BytesIn  int64   `json:"bytes_in"`
	BytesOut int64   `json:"bytes_out"`
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
	Failure  string  `json:"failure,omitempty"` // the first one
}

func runLoad(arguments []string) error {
	flags := flag.NewFlagSet("foreign-edge load", flag.ContinueOnError)
	address := flags.String("url", "", "what is asked for, http://HOST:PORT/PATH")
	options := loadOptions{}
	flags.StringVar(&options.host, "host", "", "the Host field, if it is not the URL's")
	flags.IntVar(&options.atOnce, "at-once", 1, "connections")
	flags.Float64Var(&options.seconds, "seconds", 0, "how long; 0: until --count is reached")
	flags.Int64Var(&options.count, "count", 0, "how many requests in all; 0: as many as there is time for")
	flags.Int64Var(&options.body, "send", 0, "bytes of a body to POST")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	parsed, err := url.Parse(*address)
	if err != nil || parsed.Scheme != "http" {
		return fmt.Errorf("--url %q is no http://HOST:PORT/PATH", *address)
	}
	if options.seconds <= 0 && options.count <= 0 {
		return errors.New("one of --seconds and --count is needed")
	}
	if options.url = parsed; options.host == "" {
		options.host = parsed.Host
	}
	return json.NewEncoder(os.Stdout).Encode(load(options))
}

func load(options loadOptions) loadResult {
	method, framing := "GET", ""
	if options.body > 0 {
		method = "POST"
		framing = fmt.Sprintf("Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", options.body)
	}
	head := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n",
		method, options.url.RequestURI(), options.host, browserFields, framing)
	var left, bytesIn, failures atomic.Int64
	var first atomic.Pointer[string]
	left.Store(options.count)
	began := time.Now()
	var until time.Time
	if options.seconds > 0 {
		until = began.Add(time.Duration(options.seconds * float64(time.Second)))
	}
	times := make([][]time.Duration, options.atOnce)
	var visitors sync.WaitGroup
	for i := range times {
		visitors.Add(1)
		go func() {
			defer visitors.Done()
			visitor := &loadVisitor{address: options.url.Host}
			defer visitor.close()
			for (options.count == 0 || left.Add(-1) >= 0) && (until.IsZero() || time.Now().Before(until)) {
				start := time.Now()
				read, err := visitor.request(head, options.body)
				bytesIn.Add(read)
				if err != nil {
					failures.Add(1)
					text := err.Error()
					first.CompareAndSwap(nil, &text)
					visitor.close()
					continue
				}
				times[i] = append(times[i], time.Since(start))
			}
		}()
	}
	visitors.Wait()
	seconds := time.Since(began).Seconds()
	all := slices.Concat(times...)
	slices.Sort(all)
	result := loadResult{
		Count: len(all), Failures: int(failures.Load()), Seconds: seconds, Rate: float64(len(all)) / seconds,
		BytesIn: bytesIn.Load(), BytesOut: options.body * int64(len(all)),
	}
	if len(all) > 0 {
		result.P50, result.P99 = all[len(all)/2].Seconds(), all[len(all)*99/100].Seconds()
	}
	if text := first.Load(); text != nil {
		result.Failure = *text
	}
	return result
}

// loadVisitor is one connection, made anew after a failure.
type loadVisitor struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
}

func (v *loadVisitor) close() {
	if v.conn != nil {
		v.conn.Close()
		v.conn = nil
	}
}

// request sends one and reads its answer; it returns the bytes of the answer's body.
func (v *loadVisitor) request(head []byte, body int64) (int64, error) {
	if v.conn == nil {
		conn, err := net.Dial("tcp", v.address)
		if err != nil {
			return 0, err
		}
		v.conn, v.reader = conn, bufio.NewReaderSize(conn, 64<<10)
	}
	if _, err := v.conn.Write(head); err != nil {
		return 0, err
	}
	for body > 0 {
		count, err := v.conn.Write(zeros[:min(body, int64(len(zeros)))])
		if body -= int64(count); err != nil {
			return 0, err
		}
	}
	line, err := v.reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line[9:], []byte("200")) {
		return 0, fmt.Errorf("answered %q", line)
	}
	length, chunked := int64(-1), false
	for {
		line, err = v.reader.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64); err != nil {
				return 0, err
			}
		} else if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			chunked = true
		}
	}
	switch {
	case chunked:
		read, err := io.Copy(io.Discard, httputil.NewChunkedReader(v.reader))
		if err == nil {
			_, err = v.reader.ReadSlice('\n') // the empty line after the last chunk
		}
		return read, err
	case length < 0:
		return 0, errors.New("an answer without a length")
	}
	read, err := io.CopyN(io.Discard, v.reader, length)
	return read, unexpected(err)
}

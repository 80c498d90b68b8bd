package main

import (
	"io"
	"sync/atomic"
)

// copyCounted copies until the end, and counts what was taken as it is: nil is a clean end.
func copyCounted(to io.Writer, from io.Reader, counter *atomic.Int64) error {
	piece := pieces.Get().(*[]byte)
	defer pieces.Put(piece)
	for {
		count, err := from.Read(*piece)
		if count > 0 {
			taken, failed := to.Write((*piece)[:count])
			counter.Add(int64(taken))
			if failed != nil {
				return failed
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

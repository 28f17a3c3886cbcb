package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// blob is an answer of many bytes.
type blob int

// AppendJSON implements Appender.
func (b blob) AppendJSON(dst []byte) []byte {
	dst = append(dst, '"')
	return append(append(dst, bytes.Repeat([]byte("x"), int(b))...), '"')
}

// TestSlowReader has clients that ask for much and read nothing: the server must not keep the answer for them.
func TestSlowReader(t *testing.T) {
	const size = 48 << 20 // more than the buffers of two sockets
	gone := make(chan error, 1)
	server := serve(t, []Route{
		{"GET", "/json", Public, Raw(func(_ context.Context, w http.ResponseWriter, _ *Request) error {
			// As JSON does it; the error tells when the write ended.
			_, err := w.Write(blob(4 << 20).AppendJSON(nil))
			for range 11 {
				if err == nil {
					_, err = w.Write(bytes.Repeat([]byte("y"), 4<<20))
				}
			}
			gone <- err
			return nil
		})},
		{"GET", "/file", Public, Raw(func(_ context.Context, w http.ResponseWriter, _ *Request) error {
			_, err := io.Copy(w, io.LimitReader(zeros{}, size))
			gone <- err
			return nil
		})},
	}, Options{AnswerTimeout: 100 * time.Millisecond})
	for _, path := range []string{"/json", "/file"} {
		t.Run(path, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// Little room on this side, so that little is taken off the server's hands.
			if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
				t.Fatal(err)
			}
			started := time.Now()
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
			if err := <-gone; err == nil {
				t.Error("all was written to a client that reads nothing")
			}
			if waited := time.Since(started); waited > 10*time.Minute {
				t.Errorf("the server waited %s", waited)
			}
		})
	}
}

// zeros is a file without end.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestPatientAnswers has one connection serve answer after answer: the time for one is not that for the next.
func TestPatientAnswers(t *testing.T) {
	server := serve(t, []Route{{"GET", "/json", Public, JSON(func(_ context.Context, r *Request, _ Empty) (blob, error) {
		if r.Query("wait") != "" {
			timer := time.NewTimer(50 * time.Millisecond) // past what the answer before was given
			defer timer.Stop()
			<-timer.C
		}
		return blob(100), nil
	})}}, Options{AnswerTimeout: 20 * time.Millisecond})
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for _, query := range []string{"", "?wait=1", "?wait=1"} {
		fmt.Fprintf(conn, "GET /json%s HTTP/1.1\r\nHost: x\r\n\r\n", query)
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || len(body) != 102 {
			t.Errorf("%q: %d bytes, %v", query, len(body), err)
		}
	}
}

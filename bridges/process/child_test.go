package process

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"causeway/registration"
)

// roleEnv makes the test's binary a child.
const roleEnv = "CAUSEWAY_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "":
		os.Exit(m.Run())
	case "panics":
		panic("out of tea")
	case "fails":
		fmt.Fprintln(os.Stderr, `{"level":"error","part":"x","error":"no tea","message":"Start"}`)
		os.Exit(3)
	case "obeys":
		job, _ := io.ReadAll(os.Stdin)
		fmt.Fprintf(os.Stderr, `{"level":"info","job":%q,"message":"Goodbye"}`+"\n", job)
		os.Exit(0)
	}
}

// child makes a Child of a role, with short pauses.
func child(t *testing.T, role string, log io.Writer) *Child {
	t.Helper()
	c := NewChild(Place{t.TempDir(), "x"}, &registration.Registration{ID: "x"}, []byte("the job"), zerolog.New(log), func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleEnv+"="+role)
		return cmd
	})
	c.pause = time.Millisecond
	return c
}

func TestCrashes(t *testing.T) {
	for _, test := range []struct{ role, want string }{
		{"panics", "exit status 2; its last words: panic: out of tea"},
		{"fails", "exit status 3; its last words: Start: no tea"},
	} {
		t.Run(test.role, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			c := child(t, test.role, writerFunc(func(line []byte) {
				if bytes.Contains(line, fmt.Appendf(nil, `"crashes":%d,`, downAfter)) {
					stop()
				}
			}))
			c.pause = time.Microsecond
			if err := c.Run(ctx); err != nil {
				t.Fatal(err)
			}
			got := c.Status()
			if want := (Status{Crashes: downAfter, Down: true, LastWords: test.want}); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var log strings.Builder // Run has one writer at a time
	c := child(t, "obeys", writerFunc(func(line []byte) {
		log.Write(line)
		if bytes.Contains(line, []byte("process runs")) {
			stop()
		}
	}))
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if want := `{"level":"info","job":"the job","message":"Goodbye"}`; !strings.Contains(log.String(), want) {
		t.Errorf("got the log %s\nwant in it %s", log.String(), want)
	}
	if got := c.Status(); got.Crashes != 0 {
		t.Errorf("got %+v, want no crashes", got)
	}
}

func TestBackoff(t *testing.T) {
	for _, test := range []struct {
		deaths   int
		from, to time.Duration
	}{{1, time.Second / 2, time.Second}, {3, 2 * time.Second, 4 * time.Second}, {100, maxPause / 2, maxPause}} {
		for range 100 {
			if got := backoff(time.Second, test.deaths); got < test.from || got > test.to {
				t.Fatalf("after %d deaths got %v, want %v to %v", test.deaths, got, test.from, test.to)
			}
		}
	}
}

func TestLongSocketPath(t *testing.T) {
	_, err := listen("/" + strings.Repeat("x", 200))
	if err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("got %v, want an error that says that the path is too long", err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(line []byte) (int, error) {
	f(line)
	return len(line), nil
}

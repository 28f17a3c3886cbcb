package holder

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Frames to the server:
//
//	L SEQ MS LINE    a line from IRC, with its number and when it came
//	E WORDS          the connection has ended, and why
//
// and from it, where TAG is that of State.Written in hexadecimal, or "-":
//
//	M TAG LINE       a line that is written with those after it, up to the next W, or not at all
//	W TAG LINE       a line
//	A SEQ CHANNELS   the lines up to SEQ need not be kept; CHANNELS, with commas between, are those that this connection leads
//	X WORDS          end the connection, with QUIT if there are words
//
// A Unix connection that ends without X leaves the IRC connection to a successor.

// errFrame tells that the other end does not keep to the protocol.
var errFrame = errors.New("a frame makes no sense")

func lineFrame(l Line) []byte {
	b := append([]byte("L "), strconv.FormatUint(l.Seq, 10)...)
	b = append(b, ' ')
	b = append(strconv.AppendInt(b, l.At.UnixMilli(), 10), ' ')
	return append(append(b, l.Text...), '\n')
}

// parseLineFrame is the inverse, without the L.
func parseLineFrame(rest []byte) (Line, error) {
	number, rest, ok := bytes.Cut(rest, []byte(" "))
	at, text, ok2 := bytes.Cut(rest, []byte(" "))
	seq, err := strconv.ParseUint(string(number), 10, 64)
	ms, err2 := strconv.ParseInt(string(at), 10, 64)
	if !ok || !ok2 || err != nil || err2 != nil {
		return Line{}, errFrame
	}
	return Line{Seq: seq, At: time.UnixMilli(ms), Text: bytes.Clone(text)}, nil
}

// writeFrames are some lines that go out with none between them; the last has the tag.
func writeFrames(tag uint64, lines []string) []byte {
	var b []byte
	for i, line := range lines {
		if i < len(lines)-1 {
			b = append(b, "M - "...)
		} else {
			b = append(append(append(b, "W "...), formatTag(tag)...), ' ')
		}
		b = append(append(b, line...), '\n')
	}
	return b
}

func formatTag(tag uint64) string {
	if tag == 0 {
		return "-"
	}
	return strconv.FormatUint(tag, 16)
}

// parseWrite reads "TAG LINE".
func parseWrite(rest []byte) (tag uint64, line []byte, err error) {
	name, line, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return 0, nil, errFrame
	}
	if string(name) != "-" {
		if tag, err = strconv.ParseUint(string(name), 16, 64); err != nil {
			return 0, nil, errFrame
		}
	}
	return tag, line, nil
}

func ackFrame(seq uint64, leads []string) []byte {
	return []byte("A " + strconv.FormatUint(seq, 10) + " " + strings.Join(leads, ",") + "\n")
}

// parseAck reads "SEQ CHANNELS".
func parseAck(rest []byte) (seq uint64, leads []string, err error) {
	number, list, _ := strings.Cut(string(rest), " ")
	if seq, err = strconv.ParseUint(number, 10, 64); err != nil {
		return 0, nil, errFrame
	}
	if list != "" {
		leads = strings.Split(list, ",")
	}
	return seq, leads, nil
}

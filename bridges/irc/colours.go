package irc

import (
	"fmt"
	"strconv"
)

// colourTable are the colours of the codes 0 to 98; 99 is the reader's default. The first sixteen are mIRC's, the
// others what clients have agreed on since (modern.ircdocs.horse/formatting, Colors 16-98).
var colourTable = [99]string{
	"ffffff", "000000", "00007f", "009300", "ff0000", "7f0000", "9c009c", "fc7f00",
	"ffff00", "00fc00", "009393", "00ffff", "0000fc", "ff00ff", "7f7f7f", "d2d2d2",
	"470000", "472100", "474700", "324700", "004700", "00472c", "004747", "002747", "000047", "2e0047", "470047", "47002a",
	"740000", "743a00", "747400", "517400", "007400", "007449", "007474", "004074", "000074", "4b0074", "740074", "740045",
	"b50000", "b56300", "b5b500", "7db500", "00b500", "00b571", "00b5b5", "0063b5", "0000b5", "7500b5", "b500b5", "b5006b",
	"ff0000", "ff8c00", "ffff00", "b2ff00", "00ff00", "00ffa0", "00ffff", "008cff", "0000ff", "a500ff", "ff00ff", "ff0098",
	"ff5959", "ffb459", "ffff71", "cfff60", "6fff6f", "65ffc9", "6dffff", "59b4ff", "5959ff", "c459ff", "ff66ff", "ff59bc",
	"ff9c9c", "ffd39c", "ffff9c", "e2ff9c", "9cff9c", "9cffdb", "9cffff", "9cd3ff", "9c9cff", "dc9cff", "ff9cff", "ff94d3",
	"000000", "131313", "282828", "363636", "4d4d4d", "656565", "818181", "9f9f9f", "bcbcbc", "e2e2e2", "ffffff",
}

// defaultColour is the code of no colour in particular.
const defaultColour = 99

// palette is which colours we send.
type palette string

// The palettes of the configuration.
const (
	palette16   palette = "16"
	palette99   palette = "99"
	paletteHex  palette = "hex"
	paletteNone palette = "none"
)

// nearest is the code of the palette's colour that is most like the given one.
func (p palette) nearest(hex string) int {
	codes := len(colourTable)
	if p == palette16 {
		codes = 16
	}
	want, best, least := rgb(hex), 1, 1<<30
	for code := range codes {
		have := rgb(colourTable[code])
		distance := 0
		// The eye tells greens apart best and blues worst.
		for i, weight := range [3]int{3, 4, 2} {
			d := want[i] - have[i]
			distance += weight * d * d
		}
		if distance < least {
			best, least = code, distance
		}
	}
	return best
}

func rgb(hex string) [3]int {
	n, _ := strconv.ParseUint(hex, 16, 32)
	return [3]int{int(n >> 16), int(n >> 8 & 255), int(n & 255)}
}

// code is what switches the colours of a style on, or empty when it has none.
func (p palette) code(s style) string {
	switch {
	case p == paletteNone:
		return ""
	case s.spoiler:
		return "\x0301,01" // black on black is what people on IRC hide things with
	case s.fg == "" && s.bg == "":
		return ""
	case p == paletteHex && s.fg != "" && s.bg != "":
		return "\x04" + s.fg + "," + s.bg
	case p == paletteHex && s.fg != "":
		return "\x04" + s.fg
	}
	fg := defaultColour
	if s.fg != "" {
		fg = p.nearest(s.fg)
	}
	if s.bg == "" {
		return fmt.Sprintf("\x03%02d", fg)
	}
	bg := p.nearest(s.bg)
	if fg == bg {
		// Two colours of Matrix that are one here would hide the text.
		fg = defaultColour
	}
	return fmt.Sprintf("\x03%02d,%02d", fg, bg)
}

// hasBackground reports whether code sets a background.
func (p palette) hasBackground(s style) bool { return p != paletteNone && (s.spoiler || s.bg != "") }

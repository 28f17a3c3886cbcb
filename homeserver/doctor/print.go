package doctor

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Print writes the report for people to read: sizes, the rooms largest rooms (all of them when rooms is negative), faults with what
// can be done, notes, and a closing line.
func (r *Report) Print(w io.Writer, rooms int) error {
	p := &printer{w: w}
	p.sizes(r)
	p.rooms(r, rooms)
	if r.Verified {
		p.faults(r)
	}
	for i, n := range r.Notes {
		if i == 0 {
			p.line("\nNotes")
		}
		p.line("  %s", n)
	}
	p.closing(r)
	return p.err
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// table writes rows in columns: the first one left, the others right.
func (p *printer) table(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i == 0 {
				b.WriteString("  " + cell + space)
			} else {
				b.WriteString("  " + space + cell)
			}
		}
		p.line("%s", b.String())
	}
}

func (p *printer) sizes(r *Report) {
	engine := map[string]string{"sqlite": "SQLite", "postgres": "PostgreSQL"}[r.Engine]
	p.line("Database of %s on %s: %s", cmp.Or(r.Server, "no server"), engine, bytesText(r.Space.Bytes))
	if r.Space.Log > 0 {
		p.line("  %s of it are the write-ahead log, %s are unused pages", bytesText(r.Space.Log), bytesText(r.Space.Free))
	} else if r.Space.Free > 0 {
		p.line("  %s of it are unused pages", bytesText(r.Space.Free))
	}
	p.line("  A compaction would free about %s\n", bytesText(r.Space.Gain))
	rows := [][]string{{"Table", "Rows", "Data", "Indexes", "Of it free"}}
	for _, t := range r.Tables {
		rows = append(rows, []string{t.Name, countText(t.Rows), bytesText(t.Bytes), bytesText(t.IndexBytes), bytesText(t.Free)})
	}
	p.table(rows)
}

func (p *printer) rooms(r *Report, most int) {
	if len(r.Rooms) == 0 || most == 0 {
		return
	}
	shown := r.Rooms
	if most > 0 && most < len(shown) {
		shown = shown[:most]
		p.line("\nThe %d largest of %s rooms (--rooms all shows all)", most, countText(int64(len(r.Rooms))))
	} else {
		p.line("\nRooms")
	}
	rows := [][]string{{"Room", "About", "Events", "Their JSON", "States", "Their size", "Joined", "Members"}}
	for _, room := range shown {
		rows = append(rows, []string{
			cmp.Or(string(room.RoomID), "(rows of no room)"), bytesText(room.Bytes), countText(room.Events), bytesText(room.EventBytes),
			countText(room.StateSets), bytesText(room.StateSetBytes), countText(room.JoinedMembers), countText(room.Members),
		})
	}
	p.table(rows)
}

func (p *printer) faults(r *Report) {
	for _, f := range r.Faults {
		p.line("\n%s (%s, %s)", f.What, f.Kind, countText(f.Count))
		for _, e := range f.Examples {
			p.line("  %s", e)
		}
		if more := f.Count - int64(len(f.Examples)); more > 0 {
			p.line("  … and %s more", countText(more))
		}
		p.line("  What to do: %s", f.Advice)
	}
}

func (p *printer) closing(r *Report) {
	if !r.Verified {
		p.line("\nNothing was verified: sizes alone were asked for.")
		return
	}
	c := r.Checked
	unknown := ""
	if c.SignaturesUnchecked > 0 {
		unknown = fmt.Sprintf(" (%s more by keys that are not known here)", countText(c.SignaturesUnchecked))
	}
	p.line("\nVerified %s rooms, %s events, %s signatures%s, %s state sets, %s resolutions in %.1f s.", countText(c.Rooms), countText(c.Events),
		countText(c.Signatures), unknown, countText(c.StateSets), countText(c.Resolutions), r.Seconds)
	if r.Sound() {
		p.line("Nothing is wrong.")
	} else {
		p.line("%s faults of %d kinds were found.", countText(r.FaultCount()), len(r.Faults))
	}
}

// String tells where the fault is, and what it is.
func (f Fault) String() string {
	var where []string
	for _, s := range []string{string(f.RoomID), string(f.EventID)} {
		if s != "" {
			where = append(where, s)
		}
	}
	if len(where) == 0 && f.Table != "" {
		where = append(where, "table "+f.Table)
	}
	if len(where) == 0 {
		return f.Text
	}
	return strings.Join(where, " ") + ": " + f.Text
}

// bytesText is a size in units of people: 999 B, 1.2 kB, 34.5 MB.
func bytesText(n int64) string {
	const step = 1000
	if n < step {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB"} {
		if value /= step; value < 999.95 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// countText is a number with its thousands apart: 1,234,567.
func countText(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Result is what one workload measured.
type Result struct {
	Engine    string  `json:"engine,omitempty"` // of the server's database, where it is known
	Workload  string  `json:"workload"`
	Senders   int     `json:"senders"`
	Rooms     int     `json:"rooms"`
	Offered   float64 `json:"offered_per_second,omitempty"` // 0: as fast as it goes
	Seconds   float64 `json:"seconds"`
	Sent      int     `json:"sent"` // acknowledged
	PerSecond float64 `json:"per_second"`
	Latencies
	Errors     int      `json:"errors"`
	ErrorTexts []string `json:"error_texts,omitempty"`
	// Of the deliver workload: what the reader never saw, saw twice, saw too
	// late, and how many of its answers left events out.
	Lost       int      `json:"lost"`
	Doubled    int      `json:"doubled"`
	OutOfOrder int      `json:"out_of_order"`
	Gaps       int      `json:"gaps"`
	Process    *Process `json:"process,omitempty"`
}

// addErrors keeps a few different texts of errors.
func (r *Result) addErrors(texts []string) {
	for _, text := range texts {
		r.ErrorTexts = keepText(r.ErrorTexts, text)
	}
}

// Report is all that one run of this command found out.
type Report struct {
	Machine *Machine `json:"machine,omitempty"`
	Results []Result `json:"results"`
}

// write prints the report as JSON, or as Markdown.
func (r Report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	var b strings.Builder
	if r.Machine != nil {
		r.Machine.write(&b)
	}
	r.table(&b)
	r.remarks(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) table(b *strings.Builder) {
	b.WriteString("| engine | workload | senders | rooms | s | sent | sent/s | p50 ms | p95 ms | p99 ms | max ms | errors | lost/doubled/disordered | CPU s | CPU % | RSS before MB | RSS peak MB |\n")
	b.WriteString("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, res := range r.Results {
		fmt.Fprintf(b, "| %s |\n", strings.Join(res.cells(), " | "))
	}
}

// cells are the fields of the result's row; a dash is what it did not measure.
func (r Result) cells() []string {
	cells := []string{cmp.Or(r.Engine, "–"), r.name()}
	if r.Senders > 0 {
		cells = append(cells, strconv.Itoa(r.Senders), strconv.Itoa(r.Rooms), fmt.Sprintf("%.1f", r.Seconds),
			strconv.Itoa(r.Sent), fmt.Sprintf("%.0f", r.PerSecond))
		for _, ms := range []float64{r.P50MS, r.P95MS, r.P99MS, r.MaxMS} {
			cells = append(cells, fmt.Sprintf("%.2f", ms))
		}
		cells = append(cells, strconv.Itoa(r.Errors))
	} else {
		cells = append(cells, "–", "–", fmt.Sprintf("%.1f", r.Seconds), "–", "–", "–", "–", "–", "–", "–")
	}
	if r.Workload == "deliver" {
		cells = append(cells, fmt.Sprintf("%d/%d/%d", r.Lost, r.Doubled, r.OutOfOrder))
	} else {
		cells = append(cells, "–")
	}
	if p := r.Process; p != nil {
		return append(cells, fmt.Sprintf("%.2f", p.CPUSeconds), fmt.Sprintf("%.0f", p.CPUPercent),
			megabytes(p.RSSBefore), megabytes(p.RSSPeak))
	}
	return append(cells, "–", "–", "–", "–")
}

// name is the workload with its rate, if it has one.
func (r Result) name() string {
	if r.Offered > 0 {
		return fmt.Sprintf("%s at %g/s", r.Workload, r.Offered)
	}
	return r.Workload
}

// remarks explains what the table has no room for.
func (r Report) remarks(b *strings.Builder) {
	for _, res := range r.Results {
		for _, text := range res.ErrorTexts {
			fmt.Fprintf(b, "\n%s: error: %s\n", res.name(), text)
		}
		if res.Gaps > 0 {
			fmt.Fprintf(b, "\n%s: %d answers to /sync left events out; those count as lost\n", res.name(), res.Gaps)
		}
	}
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/1e6) }

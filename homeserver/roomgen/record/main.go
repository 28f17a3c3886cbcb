// Record writes the recorded rooms: one file for each scenario of roomgen in each of its versions. It is run by hand, from the root of
// the repository, when a scenario is added or changed:
//
//	go run ./homeserver/roomgen/record
//
// The tests of stateres compare what it resolved with a second implementation.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"causeway/homeserver/roomgen"
)

func main() {
	folder := flag.String("dir", filepath.Join("homeserver", "stateres", "testdata"), "where the recordings go")
	flag.Parse()
	if err := record(*folder); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

// record writes all recordings into folder.
func record(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, scenario := range roomgen.Scenarios() {
		for _, version := range scenario.Versions {
			room, o, err := scenario.Make(version)
			if err != nil {
				return err
			}
			name := filepath.Join(folder, version+"-"+scenario.Name+".json.gz")
			if err := write(name, room.Record(scenario.Name, o.Seed)); err != nil {
				return err
			}
			fmt.Printf("%s: %d events, seed %d\n", name, len(room.Events), o.Seed)
		}
	}
	return nil
}

func write(name string, rec *roomgen.Recording) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if closed := file.Close(); err == nil {
			err = closed
		}
	}()
	return rec.Write(file)
}

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "causeway"

// services are the packages between the HTTP edges and the store.
var services = []string{
	"homeserver/account", "homeserver/room", "homeserver/e2ee", "homeserver/ephemeral", "homeserver/push",
	"homeserver/media", "homeserver/usersync", "homeserver/search", "homeserver/federation", "homeserver/oauth", "homeserver/mail",
	"homeserver/threepid", "homeserver/identity", "homeserver/rendezvous", "homeserver/sso",
}

// arrows is who may import whom: each package of this module with those of
// this module that it may import. ARCHITECTURE.md draws the same picture. A
// name that ends in /... stands for everything below it. A new arrow is a new
// entry here, argued in the commit that adds it.
var arrows = map[string][]string{
	"homeserver/event":            {},
	"homeserver/notify":           {},
	"homeserver/sqldb":            {},
	"homeserver/httpapi":          {},
	"homeserver/retention":        {},
	"homeserver/rendezvous":       {},
	"registration":                {},
	"appservice/inproc":           {},
	"sfu/codec":                   {},
	"sfu/bandwidth":               {},
	"sfu/turn":                    {},
	"sfu/signalling":              {},
	"sfu/network":                 {},
	"sfu/focus":                   {},
	"homeserver/eventauth":        {"homeserver/event"},
	"homeserver/stateres":         {"homeserver/eventauth", "homeserver/event"},
	"homeserver/store/migrations": {},
	"homeserver/store":            {"homeserver/sqldb", "homeserver/event", "homeserver/store/migrations"},
	"homeserver/mail":             {"homeserver/store"},
	// Who proves to have an address is written to.
	"homeserver/threepid": {"homeserver/store", "homeserver/mail"},
	// An account has the addresses that threepid has validated.
	"homeserver/account":  {"homeserver/store", "homeserver/notify", "homeserver/threepid", "homeserver/mail", "registration"},
	"homeserver/identity": {"homeserver/store", "homeserver/event", "homeserver/mail", "homeserver/threepid"},
	// What OAuth clients are given are the account's tokens, in one transaction with the code that they give for them.
	"homeserver/oauth": {"homeserver/store", "homeserver/account"},
	// Who somebody is at a provider is told by sso, which knows no accounts, and whose account that is by account.
	"homeserver/sso": {},
	// Users sign in to networks on these pages, too.
	"homeserver/networks": {"homeserver/httpapi"},
	// Administrators see which calls run, by JSON and on these pages; the wiring tells it, so that none of them knows the SFU.
	"homeserver/callstatus":   {"homeserver/httpapi"},
	"homeserver/accountpages": {"homeserver/callstatus", "homeserver/httpapi", "homeserver/account", "homeserver/oauth", "homeserver/sso", "homeserver/networks"},
	"homeserver/room": {
		"homeserver/store", "homeserver/notify", "homeserver/stateres", "homeserver/eventauth", "homeserver/event",
		"homeserver/retention",
	},
	"homeserver/doctor":      {"homeserver/store", "homeserver/stateres", "homeserver/eventauth", "homeserver/event"},
	"homeserver/e2ee":        {"homeserver/store", "homeserver/notify", "homeserver/event"},
	"homeserver/ephemeral":   {"homeserver/store", "homeserver/notify", "homeserver/event"},
	"homeserver/push":        {"homeserver/store", "homeserver/notify", "homeserver/eventauth", "homeserver/event"},
	"homeserver/media":       {"homeserver/store"},
	"homeserver/usersync":    {"homeserver/store", "homeserver/notify", "homeserver/eventauth", "homeserver/event", "homeserver/retention"},
	"homeserver/search":      {"homeserver/store", "homeserver/notify", "homeserver/event"},
	"homeserver/federation":  {"homeserver/room", "homeserver/e2ee", "homeserver/ephemeral", "homeserver/store", "homeserver/notify", "homeserver/event"},
	"homeserver/clientapi":   slices.Concat(services, []string{"homeserver/httpapi", "homeserver/event"}),
	"homeserver/serverapi":   {"homeserver/httpapi", "homeserver/federation", "homeserver/room", "homeserver/e2ee", "homeserver/ephemeral", "homeserver/account", "homeserver/media", "homeserver/event"},
	"homeserver/identityapi": slices.Concat(services, []string{"homeserver/httpapi"}),
	"homeserver/adminapi":    slices.Concat(services, []string{"homeserver/httpapi"}),
	"homeserver":             {"homeserver/..."},
	"homeserver/storetest":   {"homeserver/store", "homeserver/sqldb"},
	// Rooms for tests, benchmarks and recordings: made of events alone, so that pure packages can be tested with them.
	"homeserver/roomgen":        {"homeserver/stateres", "homeserver/eventauth", "homeserver/event"},
	"homeserver/roomgen/record": {"homeserver/roomgen"},
	// It wires a homeserver, so it makes what homeserver.Config holds.
	"homeserver/testserver": {"homeserver", "homeserver/storetest", "homeserver/store", "homeserver/notify", "homeserver/event"},
	"appservice/sender":     {"registration", "homeserver/store", "homeserver/notify", "homeserver/event"},
	// Encryption knows nothing of transactions and networks: it is given the keys, and what transactions hold of them.
	"bridges/e2be": {},
	// People sign in to any network in the same way.
	"bridges/provisioning":         {},
	"bridges":                      {"registration", "appservice/inproc", "bridges/e2be", "bridges/provisioning"},
	"bridges/bridgetest/telegraph": {},
	"bridges/bridgetest":           {"bridges"},
	// It runs a bridge in another process, whose requests are to look like those of one in this.
	"bridges/process": {"bridges", "registration", "appservice/inproc"},
	"bridges/builder": {},
	// The holder is a process of its own, which knows no bridge.
	"bridges/irc/holder": {},
	"bridges/irc":        {"bridges", "bridges/irc/holder"},
	"bridges/xmpp":       {"bridges"},
	"bridges/email":      {"bridges"},
	// What a packet says of its frame is kept with it.
	"sfu/buffer": {"sfu/codec"},
	"sfu/track":  {"sfu/buffer", "sfu/codec"},
	// It is a client, which speaks the signalling.
	"sfu/probe": {"sfu/signalling"},
	// It is given its sockets; its tests run on those that the server has.
	"sfu": {"sfu/track", "sfu/signalling", "sfu/codec", "sfu/bandwidth", "sfu/network"},
	// It runs an SFU for a homeserver elsewhere.
	"sfu/node": {"sfu"},
	// The wiring makes what the homeserver is given (store, sqldb, notify), its
	// limits (httpapi), and accounts without a server (account). It opens the sockets of TURN, and hands its credentials, in the
	// words of each, to clients and to the SFU.
	"cmd/causeway": {
		"homeserver", "appservice/...", "bridges", "bridges/...", "sfu", "sfu/...", "registration", "homeserver/notify", "homeserver/store",
		"homeserver/sqldb", "homeserver/httpapi", "homeserver/account", "homeserver/clientapi", "homeserver/event", "homeserver/doctor",
		"homeserver/networks", "homeserver/callstatus",
	},
	"cmd/causeway/e2e":        {},
	"cmd/causeway/e2e/gopher": {},
	"cmd/causeway-bench":      {},
}

// testArrows is what the test files of a package may import beyond arrows.
// Files of an external test package (package room_test) may import everything
// of ours but commands: they stand above the package. Files of the package
// itself may import what it reaches through others, to make what it is given,
// and the helpers: storetest, which makes an empty store, roomgen, which makes
// rooms, and for bridges bridgetest, which records a conversation.
func testArrows(pkg string, external bool) []string {
	switch {
	case pkg == "cmd/causeway/e2e":
		// It knows the server by its binary alone; storetest starts PostgreSQL, and bridgetest the IRC servers with
		// which the binary is tried. Callers without a browser write the SFU's messages as clients do.
		return []string{"homeserver/storetest", "bridges/bridgetest", "sfu/signalling"}
	case external:
		return []string{"homeserver", "homeserver/...", "appservice/...", "bridges", "bridges/...", "sfu", "sfu/...", "registration"}
	case strings.HasPrefix(pkg, "bridges"):
		return append(reach(pkg), "bridges/bridgetest")
	}
	return append(reach(pkg), "homeserver/storetest", "homeserver/roomgen")
}

// reach lists the packages that pkg may import through others.
func reach(pkg string) []string {
	var all []string
	for _, target := range arrows[pkg] {
		if !slices.Contains(all, target) {
			all = append(append(all, target), reach(target)...)
		}
	}
	return all
}

// pure are the packages without context and I/O: functions over values.
var pure = []string{"homeserver/event", "homeserver/eventauth", "homeserver/stateres", "homeserver/retention", "sfu/buffer", "sfu/bandwidth"}

// impure is what the code of pure packages must not import, each with
// everything below it.
var impure = []string{"context", "net", "os", "database", "io/fs", "io/ioutil", "syscall"}

// vagueNames say nothing about what a package holds.
var vagueNames = []string{"util", "utils", "common", "internal", "types", "helpers", "helper", "misc", "base"}

// sourceFile is what this test knows of a Go file.
type sourceFile struct {
	path    string // below the module's root, with slashes
	pkg     string // folder below the root
	name    string // of the package clause
	test    bool
	comment bool // holds a package comment
	imports []string
}

// external says whether the file is of an external test package.
func (f sourceFile) external() bool { return f.test && strings.HasSuffix(f.name, "_test") }

func TestImportsFollowTheArrows(t *testing.T) {
	for _, file := range sourceFiles(t) {
		allowed, known := arrows[file.pkg]
		if !known {
			t.Errorf("%s: package %s is not in the table of layout_test.go; add it with the packages that it may import", file.path, file.pkg)
			continue
		}
		for _, imported := range file.imports {
			if err := checkArrow(file, imported, allowed); err != nil {
				t.Errorf("%s: %v", file.path, err)
			}
		}
	}
}

// checkArrow returns why file must not import the package, or nil.
func checkArrow(file sourceFile, imported string, allowed []string) error {
	if slices.Contains(pure, file.pkg) && !file.test {
		for _, bad := range impure {
			// net/netip is arithmetic on addresses.
			if (imported == bad || strings.HasPrefix(imported, bad+"/")) && imported != "net/netip" {
				return fmt.Errorf("package %s is pure and must not import %s", file.pkg, imported)
			}
		}
	}
	target, ours := strings.CutPrefix(imported, modulePath+"/")
	if !ours || file.test && target == file.pkg || matches(allowed, target) {
		return nil
	}
	if file.test && matches(testArrows(file.pkg, file.external()), target) {
		return nil
	}
	return fmt.Errorf("package %s must not import %s: the table of layout_test.go has no such arrow", file.pkg, target)
}

// matches says whether a list of the table holds the package.
func matches(list []string, pkg string) bool {
	return slices.ContainsFunc(list, func(pattern string) bool {
		if parent, below := strings.CutSuffix(pattern, "/..."); below {
			return strings.HasPrefix(pkg, parent+"/")
		}
		return pkg == pattern
	})
}

func TestPackagesAreNamedAndDescribed(t *testing.T) {
	described, hasCode := map[string]bool{}, map[string]bool{}
	for _, file := range sourceFiles(t) {
		if slices.Contains(vagueNames, path.Base(file.pkg)) {
			t.Errorf("%s: a package called %q says nothing about what it holds", file.path, path.Base(file.pkg))
		}
		described[file.pkg] = described[file.pkg] || file.comment
		hasCode[file.pkg] = hasCode[file.pkg] || !file.test
	}
	for pkg, has := range described {
		if !has && hasCode[pkg] {
			t.Errorf("package %s has no package comment: say what it holds, who calls it, what it never does", pkg)
		}
	}
}

// TestArrowsHaveNoCycle keeps the table itself honest.
func TestArrowsHaveNoCycle(t *testing.T) {
	done := map[string]bool{}
	var visit func(pkg string, walk []string)
	visit = func(pkg string, walk []string) {
		if slices.Contains(walk, pkg) {
			t.Fatalf("the table has a cycle: %s", strings.Join(append(walk, pkg), " → "))
		}
		if done[pkg] {
			return
		}
		for other := range arrows {
			if other != pkg && matches(arrows[pkg], other) && !isTestHelper(other) {
				visit(other, append(walk, pkg))
			}
		}
		done[pkg] = true
	}
	for pkg, targets := range arrows {
		visit(pkg, nil)
		for _, target := range targets {
			if _, known := arrows[target]; !known && !strings.HasSuffix(target, "/...") {
				t.Errorf("the table lets %s import %s, which it does not list", pkg, target)
			}
		}
	}
}

// isTestHelper says whether the package is for tests, though its files are not named so.
func isTestHelper(pkg string) bool {
	return slices.Contains([]string{
		"homeserver/storetest", "homeserver/testserver", "homeserver/roomgen", "homeserver/roomgen/record", "bridges/bridgetest",
		"bridges/bridgetest/telegraph",
	}, pkg)
}

// TestProductDoesNotImportTestHelpers keeps "homeserver/..." from covering them.
func TestProductDoesNotImportTestHelpers(t *testing.T) {
	for _, file := range sourceFiles(t) {
		for _, imported := range file.imports {
			target := strings.TrimPrefix(imported, modulePath+"/")
			if !file.test && !isTestHelper(file.pkg) && isTestHelper(target) {
				t.Errorf("%s: only tests may import %s", file.path, target)
			}
		}
	}
}

func TestCheckArrow(t *testing.T) {
	tests := []struct {
		name, pkg, clause, imported string
		test, bad                   bool
	}{
		{name: "allowed", pkg: "homeserver/store", imported: "causeway/homeserver/event"},
		{name: "against the arrows", pkg: "homeserver/event", imported: "causeway/homeserver/store", bad: true},
		{name: "sideways", pkg: "homeserver/push", imported: "causeway/homeserver/room", bad: true},
		{name: "bridge to bridge", pkg: "bridges/irc", imported: "causeway/bridges/xmpp", bad: true},
		{name: "bridge to homeserver", pkg: "bridges/irc", imported: "causeway/homeserver/event", bad: true},
		{name: "below a pattern", pkg: "cmd/causeway", imported: "causeway/bridges/irc"},
		{name: "pure and net", pkg: "homeserver/event", imported: "net/http", bad: true},
		{name: "pure and addresses", pkg: "homeserver/event", imported: "net/netip"},
		{name: "pure and context", pkg: "homeserver/eventauth", imported: "context", bad: true},
		{name: "test of a pure package", pkg: "homeserver/event", imported: "os", test: true},
		{name: "third party", pkg: "homeserver/event", imported: "maunium.net/go/mautrix/id"},
		{name: "inner test takes what a service is given", pkg: "homeserver/clientapi", clause: "clientapi", imported: "causeway/homeserver/store", test: true},
		{name: "inner test takes a store", pkg: "homeserver/room", clause: "room", imported: "causeway/homeserver/storetest", test: true},
		{name: "inner test takes a room", pkg: "homeserver/room", clause: "room", imported: "causeway/homeserver/roomgen", test: true},
		{name: "outer test of a pure package takes a room", pkg: "homeserver/stateres", clause: "stateres_test", imported: "causeway/homeserver/roomgen", test: true},
		{name: "code takes a room", pkg: "homeserver/room", clause: "room", imported: "causeway/homeserver/roomgen", bad: true},
		{name: "inner test takes a server", pkg: "homeserver/room", clause: "room", imported: "causeway/homeserver/testserver", test: true, bad: true},
		{name: "outer test takes a server", pkg: "homeserver/room", clause: "room_test", imported: "causeway/homeserver/testserver", test: true},
		{name: "end-to-end test knows the binary alone", pkg: "cmd/causeway/e2e", clause: "e2e_test", imported: "causeway/homeserver/event", test: true, bad: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := sourceFile{pkg: test.pkg, name: test.clause, test: test.test}
			err := checkArrow(file, test.imported, arrows[test.pkg])
			if got := err != nil; got != test.bad {
				t.Errorf("got %v, want an error: %t", err, test.bad)
			}
		})
	}
}

// sourceFiles parses the package clause and the imports of every Go file of
// the module, whatever its build tags.
func sourceFiles(t *testing.T) []sourceFile {
	t.Helper()
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	var files []sourceFile
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipFolder(root, name, entry)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parseSource(root, name)
		files = append(files, file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// skipFolder leaves out what the go command leaves out: hidden folders, test
// data, what npm installed, and modules of their own.
func skipFolder(root, name string, entry fs.DirEntry) error {
	base := entry.Name()
	if name == root {
		return nil
	}
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func parseSource(root, name string) (sourceFile, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return sourceFile{}, err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return sourceFile{}, err
	}
	rel = filepath.ToSlash(rel)
	file := sourceFile{
		path:    rel,
		pkg:     path.Dir(rel),
		name:    parsed.Name.Name,
		test:    strings.HasSuffix(rel, "_test.go"),
		comment: hasPackageComment(parsed),
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return sourceFile{}, err
		}
		file.imports = append(file.imports, imported)
	}
	return file, nil
}

func hasPackageComment(file *ast.File) bool {
	return file.Doc != nil && strings.TrimSpace(file.Doc.Text()) != ""
}

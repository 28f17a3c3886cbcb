package builder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// connectorMethods are those of bridgev2.NetworkConnector that nothing else has together.
var connectorMethods = []string{"GetName", "GetDBMetaTypes", "GetConfig", "GetLoginFlows", "CreateLogin", "LoadUserLogin"}

// goPackage is what the toolchain tells of one.
type goPackage struct {
	Dir, ImportPath, Name string
	GoFiles               []string
}

// candidate is a connector that was found.
type candidate struct{ pkg, typ, make string }

// find looks for the connector in its module: a type that has the methods of one.
func (b *build) find(ctx context.Context, c *built) error {
	pattern := c.Path + "/..."
	output, err := b.golang(ctx, "list", "-mod=mod", "-find", "-json=Dir,ImportPath,Name,GoFiles", pattern)
	if err != nil {
		return fmt.Errorf("list the packages of %s:\n%w", c.module.Path, err)
	}
	var all []candidate
	for packages := json.NewDecoder(strings.NewReader(output)); ; {
		var p goPackage
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		// What is internal, or a command, nobody else can import.
		if p.Name == "main" || slices.Contains(strings.Split(p.ImportPath, "/"), "internal") {
			continue
		}
		found, err := connectorsIn(p, c.Type)
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	switch len(all) {
	case 1:
		c.pkg, c.make = all[0].pkg, all[0].make
		return nil
	case 0:
		return fmt.Errorf("%s: %w: no exported type has the methods of bridgev2.NetworkConnector itself; "+
			"name one: --with MODULE/PACKAGE.Type", c.Path, errNoConnector)
	}
	var names []string
	for _, f := range all {
		names = append(names, f.pkg+"."+f.typ)
	}
	return fmt.Errorf("%s has several connectors; name one with --with: %s", c.Path, strings.Join(names, ", "))
}

// connectorsIn looks for connectors in a package's files, or for the type of a name.
func connectorsIn(p goPackage, named string) ([]candidate, error) {
	methods, makers, declared := map[string][]string{}, map[string]string{}, map[string]bool{}
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				noteFunction(d, methods, makers)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if t, ok := spec.(*ast.TypeSpec); ok {
						declared[t.Name.Name] = true
					}
				}
			}
		}
	}
	var found []candidate
	for typ := range declared {
		has := named == typ
		if named == "" && ast.IsExported(typ) {
			has = !slices.ContainsFunc(connectorMethods, func(m string) bool { return !slices.Contains(methods[typ], m) })
		}
		if has {
			expression := "new(network." + typ + ")"
			if maker := makers[typ]; maker != "" {
				expression = "network." + maker + "()"
			}
			found = append(found, candidate{p.ImportPath, typ, expression})
		}
	}
	return found, nil
}

// noteFunction notes a method, or a function without parameters that makes a type: NewX() *X.
func noteFunction(d *ast.FuncDecl, methods map[string][]string, makers map[string]string) {
	if d.Recv != nil && len(d.Recv.List) == 1 {
		typ := typeName(d.Recv.List[0].Type)
		methods[typ] = append(methods[typ], d.Name.Name)
		return
	}
	results := d.Type.Results
	if !strings.HasPrefix(d.Name.Name, "New") || d.Type.TypeParams != nil || d.Type.Params.NumFields() > 0 || results.NumFields() != 1 {
		return
	}
	if typ := typeName(results.List[0].Type); typ != "" {
		makers[typ] = d.Name.Name
	}
}

// typeName is the name of a type of the same package, or of what it points to; "" for others.
func typeName(expr ast.Expr) string {
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	if ident, ok := expr.(*ast.Ident); ok {
		return ident.Name
	}
	return ""
}

// networksSource is the file that takes the place of networks.go.
func networksSource(all []built) ([]byte, error) {
	var file bytes.Buffer
	fmt.Fprintf(&file, "package main\n\nimport (\n\t\"causeway/bridges\"\n\n\t%q\n", MautrixModule+"/bridgev2")
	for i, c := range all {
		fmt.Fprintf(&file, "\tnetwork%d %q\n", i, c.pkg)
	}
	fmt.Fprint(&file, ")\n\nvar networks = []bridges.Network{\n")
	for i, c := range all {
		fmt.Fprintf(&file, "{ID: %q, Licence: %q, New: func() bridgev2.NetworkConnector { return %s }},\n",
			c.ID, c.licence, strings.Replace(c.make, "network.", fmt.Sprintf("network%d.", i), 1))
	}
	fmt.Fprint(&file, "}\n")
	return format.Source(file.Bytes())
}

package signalling

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// maxDepth is how deep messages may be in each other. Those of the protocol are five deep.
	maxDepth = 12
	// maxElements is how many elements all repeated fields of a message may have, so that a short frame does not become a large
	// message.
	maxElements = 8192
)

// bounds is what a message may still have while it is read.
type bounds struct {
	depth int
	left  *int // elements
}

func (b bounds) deeper() bounds {
	return bounds{depth: b.depth + 1, left: b.left}
}

// take counts an element.
func (b bounds) take() error {
	if *b.left--; *b.left < 0 {
		return errElements
	}
	return nil
}

// field is one field of a message: where it is in the struct, and its number. rest fields keep what has no field.
type field struct {
	index  int
	number protowire.Number
}

// plan is how a struct is written and read: its fields by rising number.
type plan struct {
	fields []field
	rest   int // the index of the field that keeps unknown fields, or -1
}

var plans sync.Map // reflect.Type → *plan

// planOf reads the tags of a struct: pb:"7" is the field with the number 7, pb:"rest" keeps what has no field.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{rest: -1}
	for i := range t.NumField() {
		tag := t.Field(i).Tag.Get("pb")
		if tag == "rest" {
			p.rest = i
			continue
		}
		n, err := strconv.Atoi(tag)
		if err != nil {
			panic(fmt.Sprintf("%s.%s has no number", t, t.Field(i).Name)) // of the program, not of what is read
		}
		p.fields = append(p.fields, field{index: i, number: protowire.Number(n)})
	}
	slices.SortFunc(p.fields, func(a, b field) int { return int(a.number) - int(b.number) })
	plans.Store(t, p)
	return p
}

func (p *plan) find(n protowire.Number) (field, bool) {
	i, ok := slices.BinarySearchFunc(p.fields, n, func(f field, n protowire.Number) int { return int(f.number) - int(n) })
	if !ok {
		return field{}, false
	}
	return p.fields[i], true
}

func structOf(message any) reflect.Value {
	return reflect.ValueOf(message).Elem()
}

func appendMessage(dst []byte, v reflect.Value) []byte {
	p := planOf(v.Type())
	for _, f := range p.fields {
		dst = appendField(dst, f.number, v.Field(f.index))
	}
	if p.rest >= 0 {
		dst = append(dst, v.Field(p.rest).Bytes()...)
	}
	return dst
}

// appendField writes a field, unless it has the value that means that it is absent. A pointer that is not nil is always
// written: it is an optional field, or the one that is set of a oneof.
func appendField(dst []byte, n protowire.Number, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return dst
		}
		return appendValue(dst, n, v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if v.Len() == 0 {
				return dst
			}
			return appendValue(dst, n, v)
		}
		return appendRepeated(dst, n, v)
	case reflect.Map:
		return appendMap(dst, n, v)
	}
	if v.IsZero() {
		return dst
	}
	return appendValue(dst, n, v)
}

func appendValue(dst []byte, n protowire.Number, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Struct:
		dst = protowire.AppendTag(dst, n, protowire.BytesType)
		return protowire.AppendBytes(dst, appendMessage(nil, v))
	case reflect.String:
		dst = protowire.AppendTag(dst, n, protowire.BytesType)
		return protowire.AppendString(dst, v.String())
	case reflect.Slice:
		dst = protowire.AppendTag(dst, n, protowire.BytesType)
		return protowire.AppendBytes(dst, v.Bytes())
	case reflect.Float32:
		dst = protowire.AppendTag(dst, n, protowire.Fixed32Type)
		return protowire.AppendFixed32(dst, math.Float32bits(float32(v.Float())))
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, n, protowire.VarintType), varintOf(v))
}

func varintOf(v reflect.Value) uint64 {
	switch v.Kind() {
	case reflect.Bool:
		return protowire.EncodeBool(v.Bool())
	case reflect.Int32, reflect.Int64:
		return uint64(v.Int())
	case reflect.Uint32, reflect.Uint64:
		return v.Uint()
	}
	panic("no varint: " + v.Type().String())
}

// appendRepeated writes numbers packed, as proto3 does, and everything else one by one.
func appendRepeated(dst []byte, n protowire.Number, v reflect.Value) []byte {
	if v.Len() == 0 {
		return dst
	}
	switch v.Type().Elem().Kind() {
	case reflect.Int32, reflect.Uint32, reflect.Int64, reflect.Uint64, reflect.Bool:
		var packed []byte
		for i := range v.Len() {
			packed = protowire.AppendVarint(packed, varintOf(v.Index(i)))
		}
		dst = protowire.AppendTag(dst, n, protowire.BytesType)
		return protowire.AppendBytes(dst, packed)
	}
	for i := range v.Len() {
		e := v.Index(i)
		if e.Kind() == reflect.Pointer {
			e = e.Elem()
		}
		dst = appendValue(dst, n, e)
	}
	return dst
}

// appendMap writes a map<string, string> in the order of its keys.
func appendMap(dst []byte, n protowire.Number, v reflect.Value) []byte {
	m := v.Interface().(map[string]string)
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		e := mapEntry{Key: k, Value: m[k]}
		dst = appendValue(dst, n, reflect.ValueOf(&e).Elem())
	}
	return dst
}

type mapEntry struct {
	Key   string `pb:"1"`
	Value string `pb:"2"`
}

var (
	errDepth    = errors.New("messages are too deep in each other")
	errElements = errors.New("too many elements")
	errUTF8     = errors.New("text is not UTF-8")
	errType     = errors.New("wrong wire type")
)

func parseMessage(data []byte, v reflect.Value, in bounds) error {
	if in.depth > maxDepth {
		return errDepth
	}
	p := planOf(v.Type())
	for len(data) > 0 {
		number, wire, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Errorf("read a tag: %w", protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(number, wire, data[n:])
		if size < 0 {
			return fmt.Errorf("read field %d: %w", number, protowire.ParseError(size))
		}
		whole, value := data[:n+size], data[n:n+size]
		data = data[n+size:]
		f, known := p.find(number)
		if !known {
			if p.rest >= 0 {
				rest := v.Field(p.rest)
				rest.SetBytes(append(rest.Bytes(), whole...))
			}
			continue
		}
		if err := parseField(value, wire, v.Field(f.index), in); err != nil {
			return fmt.Errorf("field %d: %w", number, err)
		}
	}
	return nil
}

func parseField(value []byte, wire protowire.Type, v reflect.Value, in bounds) error {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return parseValue(value, wire, v.Elem(), in)
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			return parseRepeated(value, wire, v, in)
		}
	case reflect.Map:
		return parseEntry(value, wire, v, in)
	}
	return parseValue(value, wire, v, in)
}

func parseValue(value []byte, wire protowire.Type, v reflect.Value, in bounds) error {
	switch v.Kind() {
	case reflect.Struct, reflect.String, reflect.Slice:
		if wire != protowire.BytesType {
			return errType
		}
		b, _ := protowire.ConsumeBytes(value)
		return setBytes(b, v, in)
	case reflect.Float32:
		if wire != protowire.Fixed32Type {
			return errType
		}
		bits, _ := protowire.ConsumeFixed32(value)
		v.SetFloat(float64(math.Float32frombits(bits)))
		return nil
	}
	if wire != protowire.VarintType {
		return errType
	}
	x, _ := protowire.ConsumeVarint(value)
	setVarint(x, v)
	return nil
}

func setBytes(b []byte, v reflect.Value, in bounds) error {
	switch v.Kind() {
	case reflect.Struct:
		return parseMessage(b, v, in.deeper())
	case reflect.String:
		if !utf8.Valid(b) {
			return errUTF8
		}
		v.SetString(string(b))
	default:
		v.SetBytes(slices.Clone(b))
	}
	return nil
}

func setVarint(x uint64, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(protowire.DecodeBool(x))
	case reflect.Int32:
		v.SetInt(int64(int32(x)))
	case reflect.Int64:
		v.SetInt(int64(x))
	case reflect.Uint32:
		v.SetUint(uint64(uint32(x)))
	case reflect.Uint64:
		v.SetUint(x)
	}
}

// parseRepeated adds an element, or those of a packed field.
func parseRepeated(value []byte, wire protowire.Type, v reflect.Value, in bounds) error {
	elem := v.Type().Elem()
	switch elem.Kind() {
	case reflect.Int32, reflect.Uint32, reflect.Int64, reflect.Uint64, reflect.Bool:
		if wire == protowire.BytesType {
			return parsePacked(value, v, in)
		}
	}
	if err := in.take(); err != nil {
		return err
	}
	e := reflect.New(elem).Elem()
	if err := parseField(value, wire, e, in); err != nil {
		return err
	}
	v.Set(reflect.Append(v, e))
	return nil
}

func parsePacked(value []byte, v reflect.Value, in bounds) error {
	packed, _ := protowire.ConsumeBytes(value)
	for len(packed) > 0 {
		if err := in.take(); err != nil {
			return err
		}
		x, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return protowire.ParseError(n)
		}
		packed = packed[n:]
		e := reflect.New(v.Type().Elem()).Elem()
		setVarint(x, e)
		v.Set(reflect.Append(v, e))
	}
	return nil
}

func parseEntry(value []byte, wire protowire.Type, v reflect.Value, in bounds) error {
	var e mapEntry
	if err := parseValue(value, wire, reflect.ValueOf(&e).Elem(), in); err != nil {
		return err
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	if err := in.take(); err != nil {
		return err
	}
	v.SetMapIndex(reflect.ValueOf(e.Key), reflect.ValueOf(e.Value))
	return nil
}

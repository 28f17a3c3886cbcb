// Package compat compares our own wire types with LiveKit's, in a module of its own: what LiveKit's needs is larger than
// everything that we link.
package compat

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"causeway/sfu/signalling"

	"github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// pairs are our messages that are sent by themselves, and LiveKit's.
var pairs = []struct {
	ours   func() any
	theirs func() proto.Message
}{
	{func() any { return new(signalling.SignalRequest) }, func() proto.Message { return new(livekit.SignalRequest) }},
	{func() any { return new(signalling.SignalResponse) }, func() proto.Message { return new(livekit.SignalResponse) }},
	{func() any { return new(signalling.JoinRequest) }, func() proto.Message { return new(livekit.JoinRequest) }},
	{func() any { return new(signalling.WrappedJoinRequest) }, func() proto.Message { return new(livekit.WrappedJoinRequest) }},
	{func() any { return new(signalling.DataPacket) }, func() proto.Message { return new(livekit.DataPacket) }},
}

const rounds = 2000

// TestOursToTheirs fills our messages with anything: LiveKit's code reads them, knows every field, and what it writes is read
// by us as the same.
func TestOursToTheirs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, pair := range pairs {
		for range rounds {
			ours := pair.ours()
			fill(random, reflect.ValueOf(ours).Elem(), 0)
			theirs := pair.theirs()
			if err := proto.Unmarshal(signalling.Marshal(ours), theirs); err != nil {
				t.Fatalf("%T: %v", ours, err)
			}
			if where := unknown(theirs.ProtoReflect()); where != "" {
				t.Fatalf("%T: LiveKit does not know a field of %s", ours, where)
			}
			b, err := proto.Marshal(theirs)
			if err != nil {
				t.Fatal(err)
			}
			back := pair.ours()
			if err := signalling.Unmarshal(b, back); err != nil {
				t.Fatalf("%T: %v", ours, err)
			}
			if !reflect.DeepEqual(ours, back) {
				t.Fatalf("%T: sent\n%+v\ngot\n%+v", ours, ours, back)
			}
		}
	}
}

// TestTheirsToOurs fills LiveKit's messages with anything: what we read and write again is the same to LiveKit, in the fields that we
// have.
func TestTheirsToOurs(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, pair := range pairs {
		for range rounds {
			theirs := pair.theirs()
			fillTheirs(random, theirs.ProtoReflect(), 0)
			b, err := proto.Marshal(theirs)
			if err != nil {
				t.Fatal(err)
			}
			ours := pair.ours()
			if err := signalling.Unmarshal(b, ours); err != nil {
				t.Fatalf("%T: %v", ours, err)
			}
			back := pair.theirs()
			if err := proto.Unmarshal(signalling.Marshal(ours), back); err != nil {
				t.Fatal(err)
			}
			if _, ok := ours.(*signalling.DataPacket); ok {
				if !proto.Equal(theirs, back) { // it is to pass whole
					t.Fatalf("a data packet changed:\n%v\n%v", theirs, back)
				}
				continue
			}
			missing(theirs.ProtoReflect(), back.ProtoReflect())
			if !proto.Equal(theirs, back) {
				t.Fatalf("%T: sent\n%v\ngot\n%v", ours, theirs, back)
			}
		}
	}
}

// fill sets fields of a message of ours by chance. Of requests and responses one field is set.
func fill(random *rand.Rand, v reflect.Value, depth int) {
	oneOf := v.Type() == reflect.TypeFor[signalling.SignalRequest]() || v.Type() == reflect.TypeFor[signalling.SignalResponse]() ||
		v.Type() == reflect.TypeFor[signalling.SimulateScenario]()
	if oneOf {
		fillValue(random, v.Field(random.IntN(v.NumField())), depth, true)
		return
	}
	requests := 0
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("pb") == "rest" {
			continue
		}
		if v.Type() == reflect.TypeFor[signalling.RequestResponse]() && v.Field(i).Kind() == reflect.Pointer {
			if requests++; requests > 1 {
				continue
			}
		}
		fillValue(random, v.Field(i), depth, false)
	}
}

func fillValue(random *rand.Rand, v reflect.Value, depth int, always bool) {
	if !always && (random.IntN(2) == 0 || depth > 5) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if v.Elem().Kind() == reflect.Struct {
			fill(random, v.Elem(), depth+1)
		} else {
			fillValue(random, v.Elem(), depth, true)
		}
	case reflect.Struct:
		fill(random, v, depth+1)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(text(random) + "x"))
			return
		}
		for range 1 + random.IntN(3) {
			e := reflect.New(v.Type().Elem()).Elem()
			fillValue(random, e, depth, true)
			v.Set(reflect.Append(v, e))
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{text(random): text(random), "k": ""}))
	case reflect.String:
		v.SetString(text(random))
	case reflect.Bool:
		v.SetBool(random.IntN(2) == 0)
	case reflect.Int32:
		v.SetInt(int64(random.IntN(3)))
	case reflect.Int64:
		v.SetInt(random.Int64() - random.Int64())
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(random.Uint32()))
	case reflect.Float32:
		v.SetFloat(float64(float32(random.NormFloat64())))
	}
}

func text(random *rand.Rand) string {
	return []string{"", "a", "TR_VC12", "video/VP8", "äöü€", "v=0\r\n"}[random.IntN(6)]
}

// fillTheirs sets fields of a message of LiveKit's by chance.
func fillTheirs(random *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if random.IntN(2) == 0 || depth > 5 && f.Message() != nil {
			continue
		}
		switch {
		case f.IsMap():
			if f.MapKey().Kind() != protoreflect.StringKind || f.MapValue().Kind() != protoreflect.StringKind {
				continue
			}
			m.Mutable(f).Map().Set(protoreflect.ValueOfString(text(random)).MapKey(), protoreflect.ValueOfString(text(random)))
		case f.IsList():
			l := m.Mutable(f).List()
			for range 1 + random.IntN(2) {
				if f.Message() != nil {
					fillTheirs(random, l.AppendMutable().Message(), depth+1)
				} else {
					l.Append(scalar(random, f))
				}
			}
		case f.Message() != nil:
			fillTheirs(random, m.Mutable(f).Message(), depth+1)
		default:
			m.Set(f, scalar(random, f))
		}
	}
}

func scalar(random *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(random.IntN(2) == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(f.Enum().Values().Get(random.IntN(f.Enum().Values().Len())).Number())
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(random.Int32() - random.Int32())
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(random.Int64() - random.Int64())
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(random.Uint32())
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(random.Uint64())
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(random.NormFloat64()))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(random.NormFloat64())
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(text(random)))
	}
	return protoreflect.ValueOfString(text(random))
}

// unknown names a message that has fields which LiveKit does not know, or is "".
func unknown(m protoreflect.Message) (where string) {
	if len(m.GetUnknown()) > 0 {
		return string(m.Descriptor().FullName())
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap() || f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				where += unknown(v.List().Get(i).Message())
			}
		default:
			where += unknown(v.Message())
		}
		return where == ""
	})
	return where
}

// missing clears what got has not, as far as it is something that we have no field for: what we have is left to be compared.
func missing(want, got protoreflect.Message) {
	want.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !got.Has(f) && !known[string(f.FullName())] {
			want.Clear(f)
			return true
		}
		switch {
		case f.IsMap() || f.Message() == nil:
		case f.IsList():
			for i := range min(v.List().Len(), got.Get(f).List().Len()) {
				missing(v.List().Get(i).Message(), got.Get(f).List().Get(i).Message())
			}
		case got.Has(f):
			missing(v.Message(), got.Get(f).Message())
		}
		return true
	})
}

// known are the fields that we have, by name: those that came back at least once in TestOursToTheirs.
var known = func() map[string]bool {
	random := rand.New(rand.NewPCG(5, 6))
	names := map[string]bool{}
	for _, pair := range pairs {
		for range rounds {
			ours := pair.ours()
			fill(random, reflect.ValueOf(ours).Elem(), 0)
			theirs := pair.theirs()
			_ = proto.Unmarshal(signalling.Marshal(ours), theirs)
			names = collect(theirs.ProtoReflect(), names)
		}
	}
	return names
}()

func collect(m protoreflect.Message, names map[string]bool) map[string]bool {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		names[string(f.FullName())] = true
		switch {
		case f.IsMap() || f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				collect(v.List().Get(i).Message(), names)
			}
		default:
			collect(v.Message(), names)
		}
		return true
	})
	return names
}

// Package protoscan walks over the fields of a serialized message without copying
// and without building a message, so that hostile bytes cost no more memory than
// they take. It is for the few large messages of private membership; everything
// else uses the generated types of schema/wire.
package protoscan

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field is one field as found. Data shares memory with the scanned message.
type Field struct {
	Number int
	Type   protowire.Type
	Value  uint64 // of a varint or fixed field
	Data   []byte // of a length-delimited field
}

// Each calls f for every field of the message, in order. Groups are skipped.
func Each(message []byte, f func(Field) error) error {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("malformed message: %w", protowire.ParseError(n))
		}
		message = message[n:]
		field := Field{Number: int(num), Type: typ}
		switch typ {
		case protowire.VarintType:
			field.Value, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			field.Value, n = protowire.ConsumeFixed64(message)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(message)
			field.Value = uint64(v)
		case protowire.BytesType:
			field.Data, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(num, typ, message)
		}
		if n < 0 {
			return fmt.Errorf("malformed message: %w", protowire.ParseError(n))
		}
		message = message[n:]
		if typ == protowire.StartGroupType {
			continue
		}
		if err := f(field); err != nil {
			return err
		}
	}
	return nil
}

// Bytes returns the contents of a length-delimited field.
func (f Field) Bytes() ([]byte, error) {
	if f.Type != protowire.BytesType {
		return nil, fmt.Errorf("field %d has wire type %d, must be length-delimited", f.Number, f.Type)
	}
	return f.Data, nil
}

// Int32 returns the value of an int32 or enum field.
func (f Field) Int32() (int32, error) {
	if f.Type != protowire.VarintType {
		return 0, fmt.Errorf("field %d has wire type %d, must be a varint", f.Number, f.Type)
	}
	v := int64(f.Value)
	if v != int64(int32(v)) {
		return 0, fmt.Errorf("field %d is %d, must fit 32 bits", f.Number, v)
	}
	return int32(v), nil
}

// Fixed64 returns the bits of a double or fixed64 field.
func (f Field) Fixed64() (uint64, error) {
	if f.Type != protowire.Fixed64Type {
		return 0, fmt.Errorf("field %d has wire type %d, must have 64 bits", f.Number, f.Type)
	}
	return f.Value, nil
}

// Once fails if a singular field comes a second time. No writer does that, and
// readers differ in what they make of it.
type Once uint64

// Check marks the field and fails if it was marked before.
func (o *Once) Check(f Field) error {
	if f.Number < 64 {
		if *o>>f.Number&1 == 1 {
			return fmt.Errorf("field %d comes twice", f.Number)
		}
		*o |= 1 << f.Number
	}
	return nil
}

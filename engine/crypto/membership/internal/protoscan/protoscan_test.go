package protoscan_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/internal/protoscan"
)

func TestEachFindsFieldsInOrder(t *testing.T) {
	var b []byte
	b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), 150)
	b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), []byte("two"))
	b = protowire.AppendFixed64(protowire.AppendTag(b, 3, protowire.Fixed64Type), 3)
	b = protowire.AppendFixed32(protowire.AppendTag(b, 4, protowire.Fixed32Type), 4)
	b = protowire.AppendTag(b, 5, protowire.StartGroupType)
	b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), 9)
	b = protowire.AppendTag(b, 5, protowire.EndGroupType)
	b = protowire.AppendVarint(protowire.AppendTag(b, 6, protowire.VarintType), ^uint64(0))
	var got []int
	err := protoscan.Each(b, func(f protoscan.Field) error {
		got = append(got, f.Number)
		switch f.Number {
		case 1:
			if v, err := f.Int32(); v != 150 || err != nil {
				t.Errorf("%d, %v", v, err)
			}
			if _, err := f.Bytes(); err == nil {
				t.Error("a varint was read as bytes")
			}
		case 2:
			if v, err := f.Bytes(); string(v) != "two" || err != nil {
				t.Errorf("%q, %v", v, err)
			}
			if _, err := f.Int32(); err == nil {
				t.Error("bytes were read as a varint")
			}
		case 3:
			if v, err := f.Fixed64(); v != 3 || err != nil {
				t.Errorf("%d, %v", v, err)
			}
		case 6:
			if v, err := f.Int32(); v != -1 || err != nil {
				t.Errorf("%d, %v", v, err)
			}
		}
		return nil
	})
	if err != nil || len(got) != 5 {
		t.Errorf("fields %v, %v", got, err)
	}
}

func TestEachStopsAtFaults(t *testing.T) {
	for _, bad := range []string{"\x08", "\x0a\x05ab", "\x00", "\x0c", "\x09\x01"} {
		if err := protoscan.Each([]byte(bad), func(protoscan.Field) error { return nil }); err == nil || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	mine := errors.New("mine")
	if err := protoscan.Each([]byte("\x08\x01"), func(protoscan.Field) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("got %v", err)
	}
}

func TestNumbersMustFitAndFieldsComeOnce(t *testing.T) {
	f := protoscan.Field{Number: 1, Type: protowire.VarintType, Value: 1 << 31}
	if _, err := f.Int32(); err == nil {
		t.Error("2^31 was accepted as an int32")
	}
	var once protoscan.Once
	if err := once.Check(f); err != nil {
		t.Error(err)
	}
	if err := once.Check(f); err == nil {
		t.Error("a second time was accepted")
	}
}

func FuzzEach(f *testing.F) {
	f.Add([]byte("\x08\x01\x12\x03abc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		_ = protoscan.Each(b, func(f protoscan.Field) error { total += 1 + len(f.Data); return nil })
		if total > len(b) {
			t.Error("more fields than bytes")
		}
	})
}

package shard_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/shard"
	"github.com/panelmatch/panelmatch/schema/wire/eventpb"
	"github.com/panelmatch/panelmatch/schema/wire/membershippb"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func encode(t testing.TB, f shard.Format, records ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := shard.NewWriter(&b, f)
	must(t, err)
	for _, r := range records {
		must(t, w.Write(r))
	}
	must(t, w.Flush())
	return b.Bytes()
}

// decode returns copies of all records.
func decode(in io.Reader, opts shard.Options) (records [][]byte, f shard.Format, err error) {
	r := shard.NewReader(in, opts)
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return records, r.Format(), nil
		}
		if err != nil {
			return records, r.Format(), err
		}
		records = append(records, bytes.Clone(b))
	}
}

func equal(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	must(t, err)
	return b
}

func TestRecordedStreamsAreReadAndWrittenToTheByte(t *testing.T) {
	for name, c := range map[string]struct {
		records int
		message proto.Message
	}{
		"edp-event-data.odd-ids":           {100, &eventpb.UnprocessedEvent{}},
		"edp-encrypted-event-data.odd-ids": {50, &membershippb.DatabaseEntry{}},
		"mp-query-to-ids-map.first":        {1, &membershippb.QueryIdAndId{}},
		"decrypted-event-data.first":       {1, &membershippb.KeyedDecryptedEventDataSet{}},
	} {
		data := fixture(t, name)
		records, format, err := decode(bytes.NewReader(data), shard.Options{})
		if err != nil || len(records) != c.records || format != shard.Delimited {
			t.Errorf("%s: %d records in %v, %v", name, len(records), format, err)
		}
		for i, r := range records {
			strict := proto.UnmarshalOptions{}
			must(t, strict.Unmarshal(r, c.message))
			if len(c.message.ProtoReflect().GetUnknown()) > 0 {
				t.Errorf("%s: record %d has unknown fields", name, i)
			}
		}
		if !bytes.Equal(encode(t, shard.Delimited, records...), data) {
			t.Errorf("%s: other bytes are written", name)
		}
		asRecordIO := encode(t, shard.RecordIO, records...)
		again, format, err := decode(bytes.NewReader(asRecordIO), shard.Options{})
		if err != nil || format != shard.RecordIO || !equal(records, again) {
			t.Errorf("%s as RecordIO: %d records in %v, %v", name, len(again), format, err)
		}
	}
}

func TestRecordIOIsDigitsNewlineBytes(t *testing.T) {
	got := encode(t, shard.RecordIO, []byte("hello"), nil, []byte("\n9\n"))
	if string(got) != "5\nhello0\n3\n\n9\n" {
		t.Errorf("%q", got)
	}
	if got := encode(t, shard.Delimited, []byte("hello"), nil, make([]byte, 300)); string(got[:9]) != "\x05hello\x00\xac\x02" {
		t.Errorf("%q", got[:9])
	}
	if _, err := shard.NewWriter(io.Discard, shard.Detect); err == nil {
		t.Error("a format that is to be found out can be written")
	}
}

func TestRecordsOfAllSizesComeBackThroughAnyReader(t *testing.T) {
	var records [][]byte
	for _, n := range []int{0, 1, 9, 47, 48, 53, 57, 58, 127, 128, 4095, 4096, 4097, 16383, 16384, 70_000, 0, 300_000, 5} {
		records = append(records, bytes.Repeat([]byte{byte(n)}, n))
	}
	for _, f := range []shard.Format{shard.Delimited, shard.RecordIO} {
		data := encode(t, f, records...)
		for _, buffer := range []int{0, 1, 5000} {
			for i, in := range []io.Reader{
				bytes.NewReader(data), iotest.HalfReader(bytes.NewReader(data)),
				iotest.DataErrReader(bytes.NewReader(data)), iotest.OneByteReader(bytes.NewReader(data)),
			} {
				got, _, err := decode(in, shard.Options{Format: f, Buffer: buffer})
				if err != nil || !equal(records, got) {
					t.Errorf("%v, buffer %d, reader %d: %d records, %v", f, buffer, i, len(got), err)
				}
			}
		}
	}
}

func TestTheFormatIsFoundOutAlsoWhereTheFirstBytesDoNotTell(t *testing.T) {
	message := func(n int) []byte { // a message of n bytes that begins with 0x0A, a newline
		b, err := proto.Marshal(&eventpb.UnprocessedEvent{Id: bytes.Repeat([]byte("5"), n-2)})
		must(t, err)
		if len(b) != n {
			t.Fatalf("%d bytes", len(b))
		}
		return b
	}
	for n := 46; n <= 59; n++ {
		for _, records := range [][][]byte{
			{message(n)},
			{message(n), message(n)},
			{message(n), message(100), message(n)},
			{message(n), nil, message(3)},
			slices.Repeat([][]byte{message(n)}, 10_000),
		} {
			for _, f := range []shard.Format{shard.Delimited, shard.RecordIO} {
				got, found, err := decode(bytes.NewReader(encode(t, f, records...)), shard.Options{})
				if err != nil || found != f || !equal(records, got) {
					t.Errorf("%d records of %d bytes in %v: found %v, %d records, %v", len(records), n, f, found, len(got), err)
				}
			}
		}
	}
	if records, f, err := decode(strings.NewReader(""), shard.Options{}); len(records) != 0 || f != shard.Delimited || err != nil {
		t.Errorf("empty: %d records in %v, %v", len(records), f, err)
	}
}

func TestMalformedStreamsAreRefused(t *testing.T) {
	for _, c := range []struct {
		f    shard.Format
		data string
		want error
		good int
	}{
		{shard.Delimited, "\x05hell", shard.ErrMalformed, 0},
		{shard.Delimited, "\x01a\x05", shard.ErrMalformed, 1},
		{shard.Delimited, "\x01a\x80", shard.ErrMalformed, 1},
		{shard.Delimited, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", shard.ErrMalformed, 0},
		{shard.Delimited, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", provider.ErrTooLarge, 0},
		{shard.Delimited, "\xff\xff\xff\xff\x0f", provider.ErrTooLarge, 0},
		{shard.Delimited, "\x81\x08" + strings.Repeat("x", 1025), provider.ErrTooLarge, 0},
		{shard.Delimited, "\x80\x08" + strings.Repeat("x", 1024), nil, 1},
		{shard.Delimited, "\x80\x08" + strings.Repeat("x", 1023), shard.ErrMalformed, 0},
		{shard.RecordIO, "5\nhell", shard.ErrMalformed, 0},
		{shard.RecordIO, "1\na5", shard.ErrMalformed, 1},
		{shard.RecordIO, "\n", shard.ErrMalformed, 0},
		{shard.RecordIO, "-1\n", shard.ErrMalformed, 0},
		{shard.RecordIO, "1 \na", shard.ErrMalformed, 0},
		{shard.RecordIO, "99999999999999999999\n", shard.ErrMalformed, 0},
		{shard.RecordIO, "999999999999999999\n", provider.ErrTooLarge, 0},
		{shard.RecordIO, "1025\n" + strings.Repeat("x", 1025), provider.ErrTooLarge, 0},
		{shard.RecordIO, "1024\n" + strings.Repeat("x", 1024), nil, 1},
	} {
		records, _, err := decode(strings.NewReader(c.data), shard.Options{Format: c.f, MaxRecord: 1024})
		if !errors.Is(err, c.want) || len(records) != c.good {
			t.Errorf("%v %.20q: %d records, %v; want %d, %v", c.f, c.data, len(records), err, c.good, c.want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), fmt.Sprint("record ", c.good)) {
			t.Errorf("%v %.20q: %v does not name the record", c.f, c.data, err)
		}
	}
}

// A header that promises much must not cost memory before the bytes come.
func TestAPromisedLengthIsNotAllocated(t *testing.T) {
	const promised = 1 << 30
	data := encode(t, shard.Delimited)
	data = append(data, 0x80, 0x80, 0x80, 0x80, 0x04) // 1 GiB
	data = append(data, "few bytes"...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, _, err := decode(bytes.NewReader(data), shard.Options{MaxRecord: promised}); !errors.Is(err, shard.ErrMalformed) {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	if allocated > 2<<20 {
		t.Errorf("%d bytes are allocated", allocated)
	}
}

func TestErrorsOfTheUnderlyingReaderPassAndStay(t *testing.T) {
	broken := errors.New("broken")
	for _, f := range []shard.Format{shard.Detect, shard.Delimited, shard.RecordIO} {
		in := io.MultiReader(bytes.NewReader(encode(t, shard.Delimited, []byte("a"))), iotest.ErrReader(broken))
		if f == shard.RecordIO {
			in = io.MultiReader(strings.NewReader("1\na"), iotest.ErrReader(broken))
		}
		r := shard.NewReader(in, shard.Options{Format: f})
		if b, err := r.Next(); err != nil || string(b) != "a" {
			t.Errorf("%v: %q, %v", f, b, err)
		}
		for range 2 {
			if _, err := r.Next(); !errors.Is(err, broken) {
				t.Errorf("%v: %v", f, err)
			}
		}
		if r.Count() != 1 {
			t.Errorf("count %d", r.Count())
		}
	}
	w, err := shard.NewWriter(failing{broken}, shard.Delimited)
	must(t, err)
	_ = w.Write(make([]byte, 1<<20))
	if err := w.Flush(); !errors.Is(err, broken) {
		t.Errorf("Flush: %v", err)
	}
	if err := w.Write(nil); !errors.Is(err, broken) {
		t.Errorf("Write: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestNoRecordCostsAnAllocation(t *testing.T) {
	record := bytes.Repeat([]byte("x"), 200)
	data := encode(t, shard.Delimited, slices.Repeat([][]byte{record}, 20_000)...)
	r := shard.NewReader(bytes.NewReader(data), shard.Options{})
	if n := testing.AllocsPerRun(10_000, func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a record that is read", n)
	}
	w, err := shard.NewWriter(io.Discard, shard.RecordIO)
	must(t, err)
	if n := testing.AllocsPerRun(10_000, func() { must(t, w.Write(record)) }); n != 0 {
		t.Errorf("%v allocations for a record that is written", n)
	}
}

func TestFormatsHaveWords(t *testing.T) {
	for _, f := range []shard.Format{shard.Delimited, shard.RecordIO} {
		if got, err := shard.ParseFormat(f.String()); got != f || err != nil {
			t.Errorf("%v = %v, %v", f, got, err)
		}
	}
	if _, err := shard.ParseFormat("detect"); err == nil {
		t.Error("detect is accepted")
	}
}

// What is written by protobuf's own library is read, and the reverse.
func TestDelimitedIsProtobufs(t *testing.T) {
	var theirs bytes.Buffer
	for i := range 100 {
		_, err := protodelim.MarshalTo(&theirs, &eventpb.UnprocessedEvent{Id: fmt.Append(nil, "id-", i)})
		must(t, err)
	}
	records, _, err := decode(bytes.NewReader(theirs.Bytes()), shard.Options{})
	if err != nil || len(records) != 100 || !bytes.Equal(encode(t, shard.Delimited, records...), theirs.Bytes()) {
		t.Errorf("%d records, %v", len(records), err)
	}
}

func FuzzReader(f *testing.F) {
	for _, name := range []string{"edp-event-data.odd-ids", "mp-query-to-ids-map.first"} {
		f.Add(fixture(f, name)[:20], uint8(0))
	}
	f.Add([]byte("5\nhello0\n"), uint8(0))
	f.Add([]byte("5\nhello0\n"), uint8(1))
	f.Add([]byte("5\nhello0\n"), uint8(2))
	f.Add([]byte("0005\nhello"), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, format uint8) {
		opts := shard.Options{Format: shard.Format(format % 3), MaxRecord: 1 << 16, Buffer: 1}
		records, found, err := decode(iotest.HalfReader(bytes.NewReader(data)), opts)
		if err != nil {
			return
		}
		opts.Format = found
		again, _, err := decode(bytes.NewReader(encode(t, found, records...)), opts)
		if err != nil || !equal(records, again) {
			t.Fatalf("%d records became %d, %v", len(records), len(again), err)
		}
		if found == shard.Delimited && len(encode(t, found, records...)) > len(data) {
			t.Fatal("the stream grew")
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for _, f := range []shard.Format{shard.Delimited, shard.RecordIO} {
		for _, size := range []int{40, 1000, 100_000} {
			b.Run(fmt.Sprintf("%v/%d", f, size), func(b *testing.B) {
				n := max(10, 1<<20/size)
				data := encode(b, f, slices.Repeat([][]byte{make([]byte, size)}, n)...)
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					r := shard.NewReader(bytes.NewReader(data), shard.Options{Format: f})
					for {
						if _, err := r.Next(); err != nil {
							break
						}
					}
					if r.Count() != int64(n) {
						b.Fatal(r.Count())
					}
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, f := range []shard.Format{shard.Delimited, shard.RecordIO} {
		for _, size := range []int{40, 1000, 100_000} {
			b.Run(fmt.Sprintf("%v/%d", f, size), func(b *testing.B) {
				record := make([]byte, size)
				w, err := shard.NewWriter(io.Discard, f)
				must(b, err)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if err := w.Write(record); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

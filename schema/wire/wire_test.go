package wire_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	_ "github.com/panelmatch/panelmatch/schema/wire/authorizedviewpb"
	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
	"github.com/panelmatch/panelmatch/schema/wire/commonpb"
	_ "github.com/panelmatch/panelmatch/schema/wire/configpb"
	"github.com/panelmatch/panelmatch/schema/wire/eventpb"
	"github.com/panelmatch/panelmatch/schema/wire/forwardedpb"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
	"github.com/panelmatch/panelmatch/schema/wire/joinkeypb"
	"github.com/panelmatch/panelmatch/schema/wire/loadtestpb"
	"github.com/panelmatch/panelmatch/schema/wire/membershippb"
	_ "github.com/panelmatch/panelmatch/schema/wire/protocolpb"
	_ "github.com/panelmatch/panelmatch/schema/wire/rlwepb"
	_ "github.com/panelmatch/panelmatch/schema/wire/storagepb"
	_ "github.com/panelmatch/panelmatch/schema/wire/toolspb"
	"github.com/panelmatch/panelmatch/schema/wire/v2alpha"
	_ "github.com/panelmatch/panelmatch/schema/wire/virtualpeoplepb"
)

var update = flag.Bool("update", false, "rewrite the golden file")

func TestNamesNumbersAndTypesAreThoseOfTheWire(t *testing.T) {
	got := listing()
	golden := filepath.Join("testdata", "wire.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("the wire format changed (-pinned +now); a partner will not understand it:\n%s", diff)
	}
}

func TestEveryProtoFileIsPinned(t *testing.T) {
	pinned := map[string]bool{}
	for _, file := range files() {
		pinned[strings.TrimPrefix(file.Path(), "panelmatch/wire/")] = true
	}
	onDisk, err := filepath.Glob("*/*.proto")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range onDisk {
		if !pinned[filepath.ToSlash(path)] {
			t.Errorf("%s is not imported by this test, so nothing pins it", path)
		}
	}
	if len(onDisk) != len(pinned) {
		t.Errorf("%d .proto files on disk, %d registered", len(onDisk), len(pinned))
	}
}

func TestTypeURLs(t *testing.T) {
	for _, tc := range []struct {
		message proto.Message
		want    string
	}{
		{&batchpb.Parameters{}, "type.googleapis.com/private_membership.batch.Parameters"},
		{&v2alpha.ExchangeWorkflow{}, "type.googleapis.com/wfa.measurement.api.v2alpha.ExchangeWorkflow"},
		{&loadtestpb.ForwardedStorageConfig{}, "type.googleapis.com/wfa.panelmatch.client.loadtest.ForwardedStorageConfig"},
	} {
		packed, err := anypb.New(tc.message)
		if err != nil {
			t.Fatal(err)
		}
		if packed.GetTypeUrl() != tc.want {
			t.Errorf("type URL %q, want %q", packed.GetTypeUrl(), tc.want)
		}
		if _, err := packed.UnmarshalNew(); err != nil {
			t.Errorf("%s is not found by its type URL: %v", tc.want, err)
		}
	}
}

func TestServicePaths(t *testing.T) {
	var got []string
	for _, desc := range []grpc.ServiceDesc{
		v2alpha.ExchangeSteps_ServiceDesc, v2alpha.ExchangeStepAttempts_ServiceDesc, v2alpha.Exchanges_ServiceDesc,
		v2alpha.Certificates_ServiceDesc, forwardedpb.ForwardedStorage_ServiceDesc,
	} {
		for _, m := range desc.Methods {
			got = append(got, "/"+desc.ServiceName+"/"+m.MethodName)
		}
		for _, s := range desc.Streams {
			got = append(got, fmt.Sprintf("/%s/%s client-stream=%t server-stream=%t",
				desc.ServiceName, s.StreamName, s.ClientStreams, s.ServerStreams))
		}
	}
	want := []string{
		"/wfa.measurement.api.v2alpha.ExchangeSteps/ClaimReadyExchangeStep",
		"/wfa.measurement.api.v2alpha.ExchangeSteps/ListExchangeSteps",
		"/wfa.measurement.api.v2alpha.ExchangeStepAttempts/AppendExchangeStepAttemptLogEntry",
		"/wfa.measurement.api.v2alpha.ExchangeStepAttempts/FinishExchangeStepAttempt",
		"/wfa.measurement.api.v2alpha.Exchanges/GetExchange",
		"/wfa.measurement.api.v2alpha.Certificates/GetCertificate",
		"/wfa.measurement.api.v2alpha.Certificates/CreateCertificate",
		"/wfa.measurement.api.v2alpha.Certificates/ListCertificates",
		"/wfa.measurement.api.v2alpha.Certificates/RevokeCertificate",
		"/wfa.measurement.api.v2alpha.Certificates/ReleaseCertificateHold",
		"/wfa.measurement.internal.testing.ForwardedStorage/GetBlobMetadata",
		"/wfa.measurement.internal.testing.ForwardedStorage/DeleteBlob",
		"/wfa.measurement.internal.testing.ForwardedStorage/ListBlobMetadata",
		"/wfa.measurement.internal.testing.ForwardedStorage/WriteBlob client-stream=true server-stream=false",
		"/wfa.measurement.internal.testing.ForwardedStorage/ReadBlob client-stream=false server-stream=true",
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("gRPC paths (-want +got):\n%s", diff)
	}
}

// The reference's own recordings must parse into the messages without a
// leftover, and give the same bytes again.
func TestRecordedBlobsOfTheReferenceParse(t *testing.T) {
	for _, tc := range []struct {
		file      string
		delimited bool
		message   proto.Message
		records   int
	}{
		{"compression-parameters", false, &commonpb.CompressionParameters{}, 1},
		{"mp-plaintext-join-keys.first", false, &joinkeypb.JoinKeyAndIdCollection{}, 1},
		{"mp-lookup-keys.first", false, &membershippb.LookupKeyAndIdCollection{}, 1},
		{"mp-query-to-ids-map.first", true, &membershippb.QueryIdAndId{}, 1},
		{"decrypted-event-data.first", true, &membershippb.KeyedDecryptedEventDataSet{}, 1},
		{"edp-event-data.odd-ids", true, &eventpb.UnprocessedEvent{}, 100},
		{"edp-encrypted-event-data.odd-ids", true, &membershippb.DatabaseEntry{}, 50},
	} {
		blob, err := os.ReadFile(filepath.Join("testdata", "recorded", tc.file))
		if err != nil {
			t.Fatal(err)
		}
		records := [][]byte{blob}
		if tc.delimited {
			records = split(t, blob)
		}
		if len(records) != tc.records {
			t.Errorf("%s: %d records, want %d", tc.file, len(records), tc.records)
		}
		for _, record := range records {
			checkRecord(t, tc.file, record, tc.message)
		}
	}
}

func checkRecord(t *testing.T, file string, record []byte, message proto.Message) {
	t.Helper()
	proto.Reset(message)
	if err := proto.Unmarshal(record, message); err != nil {
		t.Errorf("%s: %v", file, err)
		return
	}
	if unknown := unknownFields(message.ProtoReflect()); unknown != 0 {
		t.Errorf("%s: %d bytes of unknown fields", file, unknown)
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil || !slices.Equal(again, record) {
		t.Errorf("%s: %d bytes when written again, %d recorded (%v)", file, len(again), len(record), err)
	}
}

// split cuts a blob of length-delimited records.
func split(t *testing.T, blob []byte) [][]byte {
	t.Helper()
	var records [][]byte
	for len(blob) > 0 {
		record, n := protowire.ConsumeBytes(blob)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		records, blob = append(records, record), blob[n:]
	}
	return records
}

// Both workflow schemas share the numbers of their steps, on which the conversion between them builds.
func TestStepNumbersAgreeBetweenTheWorkflowSchemas(t *testing.T) {
	public := (&v2alpha.ExchangeWorkflow_Step{}).ProtoReflect().Descriptor().Fields()
	own := (&internalpb.ExchangeWorkflow_Step{}).ProtoReflect().Descriptor().Fields()
	for i := range public.Len() {
		field := public.Get(i)
		if other := own.ByNumber(field.Number()); other == nil || other.Name() != field.Name() {
			t.Errorf("field %d is %s in v2alpha, %v in internal", field.Number(), field.Name(), other)
		}
	}
}

func unknownFields(m protoreflect.Message) int {
	n := len(m.GetUnknown())
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := range value.List().Len() {
				n += unknownFields(value.List().Get(i).Message())
			}
		default:
			n += unknownFields(value.Message())
		}
		return true
	})
	return n
}

// files returns our registered files, by path.
func files() []protoreflect.FileDescriptor {
	var out []protoreflect.FileDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(file.Path(), "panelmatch/wire/") {
			out = append(out, file)
		}
		return true
	})
	slices.SortFunc(out, func(a, b protoreflect.FileDescriptor) int { return cmp.Compare(a.Path(), b.Path()) })
	return out
}

// listing describes every message, enum and service in one text.
func listing() string {
	var b strings.Builder
	for _, file := range files() {
		fmt.Fprintf(&b, "file %s syntax %s package %s\n", file.Path(), file.Syntax(), file.Package())
		listEnums(&b, file.Enums())
		listMessages(&b, file.Messages())
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			fmt.Fprintf(&b, "service %s\n", service.FullName())
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				fmt.Fprintf(&b, "  %s(%s%s) %s%s\n", m.Name(), stream(m.IsStreamingClient()), m.Input().FullName(),
					stream(m.IsStreamingServer()), m.Output().FullName())
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func stream(is bool) string {
	if is {
		return "stream "
	}
	return ""
}

func listEnums(b *strings.Builder, enums protoreflect.EnumDescriptors) {
	for i := range enums.Len() {
		fmt.Fprintf(b, "enum %s\n", enums.Get(i).FullName())
		for j := range enums.Get(i).Values().Len() {
			value := enums.Get(i).Values().Get(j)
			fmt.Fprintf(b, "  %d %s\n", value.Number(), value.Name())
		}
	}
}

func listMessages(b *strings.Builder, messages protoreflect.MessageDescriptors) {
	for i := range messages.Len() {
		m := messages.Get(i)
		if m.IsMapEntry() {
			continue
		}
		fmt.Fprintf(b, "message %s\n", m.FullName())
		for j := range m.ReservedRanges().Len() {
			fmt.Fprintf(b, "  reserved %d to %d\n", m.ReservedRanges().Get(j)[0], m.ReservedRanges().Get(j)[1]-1)
		}
		for j := range m.Fields().Len() {
			field := m.Fields().Get(j)
			fmt.Fprintf(b, "  %d %s %s\n", field.Number(), field.Name(), fieldType(field))
		}
		listEnums(b, m.Enums())
		listMessages(b, m.Messages())
	}
}

func fieldType(field protoreflect.FieldDescriptor) string {
	if field.IsMap() {
		return fmt.Sprintf("map<%s,%s>", fieldType(field.MapKey()), fieldType(field.MapValue()))
	}
	var words []string
	if field.IsList() {
		words = append(words, "repeated")
	}
	if field.IsPacked() {
		words = append(words, "packed")
	}
	if oneof := field.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
		words = append(words, "oneof "+string(oneof.Name()))
	} else if field.HasPresence() && field.Message() == nil {
		words = append(words, "optional")
	}
	switch {
	case field.Message() != nil:
		words = append(words, string(field.Message().FullName()))
	case field.Enum() != nil:
		words = append(words, string(field.Enum().FullName()))
	default:
		words = append(words, field.Kind().String())
	}
	return strings.Join(words, " ")
}

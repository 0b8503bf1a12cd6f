package workflow

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

// packedParameters returns the Any of a step type that has one, else nil.
func packedParameters(s *internalpb.ExchangeWorkflow_Step) *anypb.Any {
	switch {
	case s.GetGenerateSerializedRlweKeyPairStep() != nil:
		return s.GetGenerateSerializedRlweKeyPairStep().GetParameters()
	case s.GetExecutePrivateMembershipQueriesStep() != nil:
		return s.GetExecutePrivateMembershipQueriesStep().GetParameters()
	case s.GetBuildPrivateMembershipQueriesStep() != nil:
		return s.GetBuildPrivateMembershipQueriesStep().GetParameters()
	case s.GetDecryptPrivateMembershipQueryResultsStep() != nil:
		return s.GetDecryptPrivateMembershipQueryResultsStep().GetParameters()
	}
	return nil
}

// warnUnknownFields reports fields that a newer version of the schema may have: whoever wrote them expects them
// to matter.
func warnUnknownFields(f *faults, m protoreflect.Message) {
	if n := unknownBytes(m); n > 0 {
		f.warn(diag.CodeUnknown, "", "the workflow has %d bytes of fields that this program does not know", n).
			hint("the partner may use a newer version; ask what the fields mean before running the workflow")
	}
}

// unknownBytes counts the bytes of fields that no schema of ours has, in m and below.
func unknownBytes(m protoreflect.Message) int {
	n := 0
	visit(m, func(m protoreflect.Message) { n += len(m.GetUnknown()) })
	return n
}

func discardUnknown(m protoreflect.Message) {
	visit(m, func(m protoreflect.Message) { m.SetUnknown(nil) })
}

// visit calls f for m and every message in it. The depth is that of the schema.
func visit(m protoreflect.Message, f func(protoreflect.Message)) {
	f(m)
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap() || field.Message() == nil:
		case field.IsList():
			for i := range value.List().Len() {
				visit(value.List().Get(i).Message(), f)
			}
		default:
			visit(value.Message(), f)
		}
		return true
	})
}

// unknownNumber returns the number of the first unknown field, or 0.
func unknownNumber(unknown protoreflect.RawFields) int {
	number, _, n := protowire.ConsumeTag(unknown)
	if n < 0 {
		return 0
	}
	return int(number)
}

// plain strips what the protobuf library puts in front of its errors: "proto:" and a space that varies from
// build to build.
func plain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.TrimPrefix(text, "proto: ")
}

package workflow

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

// Kind is a step type. Its value is the number of the step type's field on
// the wire.
type Kind int32

// The step types.
const (
	CopyFromSharedStorage                Kind = 5
	CopyToSharedStorage                  Kind = 6
	IntersectAndValidate                 Kind = 7
	CommutativeDeterministicEncrypt      Kind = 8
	CommutativeDeterministicReEncrypt    Kind = 9
	CommutativeDeterministicDecrypt      Kind = 10
	Input                                Kind = 11
	GenerateCommutativeDeterministicKey  Kind = 12
	GenerateSerializedRlweKeyPair        Kind = 13
	ExecutePrivateMembershipQueries      Kind = 14
	BuildPrivateMembershipQueries        Kind = 15
	DecryptPrivateMembershipQueryResults Kind = 16
	GenerateCertificate                  Kind = 17
	PreprocessEvents                     Kind = 18
	CopyFromPreviousExchange             Kind = 19
	GenerateLookupKeys                   Kind = 20
	HybridEncrypt                        Kind = 21
	HybridDecrypt                        Kind = 22
	GenerateHybridEncryptionKeyPair      Kind = 23
	GenerateRandomBytes                  Kind = 24
	AssignJoinKeyIDs                     Kind = 25
	ReadEncryptedEventsFromBigQuery      Kind = 26
	DecryptAndMatchEvents                Kind = 27
	WriteKeysToBigQuery                  Kind = 28
	WriteEventsToBigQuery                Kind = 29
)

// Kinds lists all step types in the order of their numbers.
func Kinds() []Kind {
	var out []Kind
	for k := CopyFromSharedStorage; k <= WriteEventsToBigQuery; k++ {
		out = append(out, k)
	}
	return out
}

// Field returns the step type's field name on the wire, such as
// copy_from_shared_storage_step, or "" if there is no such type.
func (k Kind) Field() string {
	field := stepOneof().Fields().ByNumber(protoreflect.FieldNumber(k))
	if field == nil {
		return ""
	}
	return string(field.Name())
}

// String returns the step type's name as people write it, such as
// CopyFromSharedStorage.
func (k Kind) String() string {
	field := stepOneof().Fields().ByNumber(protoreflect.FieldNumber(k))
	if field == nil {
		return fmt.Sprintf("step type %d", int32(k))
	}
	name := string(field.Message().Name())
	return name[:len(name)-len("Step")]
}

// MarshalText writes the name of String, for JSON output.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// InternalOnly reports whether the step type exists only without a Kingdom.
func (k Kind) InternalOnly() bool { return k >= ReadEncryptedEventsFromBigQuery }

func stepOneof() protoreflect.OneofDescriptor {
	return (*internalpb.ExchangeWorkflow_Step)(nil).ProtoReflect().Descriptor().Oneofs().ByName("step")
}

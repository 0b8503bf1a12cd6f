package workflow

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

// Bounds on what is parsed. Real workflows have about 40 steps and 20 KiB.
const (
	// MaxBytes is the size limit of a workflow in any format.
	MaxBytes = 1 << 20
	// MaxSteps is the most steps that a workflow may have.
	MaxSteps = 1000
	// MaxLabels is the most inputs, and the most outputs, that a step may have.
	MaxLabels = 100
	// MaxLabelBytes is the length limit of labels and step ids: with the
	// exchange's prefix and suffixes they must fit into an object store's 1024.
	MaxLabelBytes = 512
	// MaxFileCount is the most shards that a step may write.
	MaxFileCount = 100_000
)

// Workflow is a workflow in memory: the internal schema, typed.
//
// It is a struct of ours and not the proto message so that what the rest of
// the program touches can't be unset: a party is one of the two, every step
// has a kind, dates are days. The settings of each step type stay in the
// message (Step.Message), where the wire defines them.
//
// A Workflow is read-only after it was made and safe for concurrent use.
type Workflow struct {
	Steps             []Step
	Identifiers       Identifiers
	FirstExchangeDate Date
	Schedule          Schedule
}

// Identifiers says who takes part, and where they share.
type Identifiers struct {
	// DataProvider and ModelProvider are bare ids, without dataProviders/ or modelProviders/.
	DataProvider, ModelProvider string
	SharedStorageOwner          manifest.Party
	Storage                     StorageType
}

// StorageType is the kind of storage that the parties share.
type StorageType string

// The storage types, spelled as on the wire.
const (
	// OtherStorage is a directory, or custom storage.
	OtherStorage StorageType = "STORAGE_TYPE_UNSPECIFIED"
	GCS          StorageType = "GOOGLE_CLOUD_STORAGE"
	S3           StorageType = "AMAZON_S3"
)

// CopyMode says what a copy step copies.
type CopyMode string

// The copy modes, spelled as on the wire.
const (
	// CopyBlob copies one blob.
	CopyBlob CopyMode = "BLOB"
	// CopyManifest copies a blob that names shards, and the shards.
	CopyManifest CopyMode = "MANIFEST"
)

// Step is one step of a Workflow.
type Step struct {
	// Index is the step's place, from 0. With a Kingdom it identifies the step.
	Index int
	// ID identifies the step without a Kingdom, and in its done marker.
	ID    string
	Party manifest.Party
	Kind  Kind
	// Inputs and Outputs map what the step type calls a blob to the blob's label, its key in storage.
	Inputs, Outputs map[string]string
	// Copy is set for the two copy steps, else empty.
	Copy CopyMode
	// AuthorizedView is true if a PreprocessEvents step prepares the authorized-view flow.
	AuthorizedView bool
	// Parameters are the unpacked private-membership parameters; nil unless
	// the step type has them and they could be unpacked.
	Parameters *batchpb.Parameters
	// Message is the whole step on the wire; its settings are behind
	// Message.GetBuildPrivateMembershipQueriesStep and its siblings. Never nil.
	Message *internalpb.ExchangeWorkflow_Step
}

// Step returns the step with the given id.
func (w *Workflow) Step(id string) (Step, bool) {
	i := slices.IndexFunc(w.Steps, func(s Step) bool { return s.ID == id })
	if i < 0 {
		return Step{}, false
	}
	return w.Steps[i], true
}

// StepsOf returns the steps of a party, in order.
func (w *Workflow) StepsOf(party manifest.Party) []Step {
	var own []Step
	for _, s := range w.Steps {
		if s.Party == party {
			own = append(own, s)
		}
	}
	return own
}

// Partner returns the bare id of the other party.
func (i Identifiers) Partner(own manifest.Party) string {
	if own == manifest.ModelProvider {
		return i.DataProvider
	}
	return i.ModelProvider
}

// InputLabels returns the labels that the step reads, sorted, each once.
func (s Step) InputLabels() []string { return labelsOf(s.Inputs) }

// OutputLabels returns the labels that the step writes, sorted, each once.
func (s Step) OutputLabels() []string { return labelsOf(s.Outputs) }

func labelsOf(byKey map[string]string) []string {
	return slices.Compact(slices.Sorted(maps.Values(byKey)))
}

// Proto returns the workflow in the internal schema. It is for printing and
// converting: the bytes that were received are in Document.Received.
func (w *Workflow) Proto() *internalpb.ExchangeWorkflow {
	out := &internalpb.ExchangeWorkflow{
		ExchangeIdentifiers: &internalpb.ExchangeWorkflow_ExchangeIdentifiers{
			DataProviderId:     w.Identifiers.DataProvider,
			ModelProviderId:    w.Identifiers.ModelProvider,
			SharedStorageOwner: partyToProto(w.Identifiers.SharedStorageOwner),
			Storage:            internalpb.ExchangeWorkflow_StorageType(internalpb.ExchangeWorkflow_StorageType_value[string(w.Identifiers.Storage)]),
		},
		FirstExchangeDate: w.FirstExchangeDate.Proto(),
	}
	if w.Schedule != "" {
		out.RepetitionSchedule = &internalpb.ExchangeWorkflow_Schedule{CronExpression: string(w.Schedule)}
	}
	for _, s := range w.Steps {
		out.Steps = append(out.Steps, proto.CloneOf(s.Message))
	}
	return out
}

func partyToProto(p manifest.Party) internalpb.ExchangeWorkflow_Party {
	return internalpb.ExchangeWorkflow_Party(internalpb.ExchangeWorkflow_Party_value[string(p)])
}

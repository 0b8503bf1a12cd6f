package workflow

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
	"github.com/panelmatch/panelmatch/schema/wire/v2alpha"
)

// Prefixes of the resource names in the v2alpha schema.
const (
	dataProviders  = "dataProviders/"
	modelProviders = "modelProviders/"
)

// ParametersType is the message that the Any in a step's parameters holds.
const ParametersType = "private_membership.batch.Parameters"

// FromInternal makes a Workflow of a message of the internal schema. The
// Workflow is nil if there is an error among the diagnostics: a step without
// a known type or party, a copy step without a label type, no owner of shared
// storage, a date that is none, or more than the bounds allow. The message is
// not kept.
func FromInternal(message *internalpb.ExchangeWorkflow) (*Workflow, diag.List) {
	f := &faults{}
	w := &Workflow{Schedule: Schedule(message.GetRepetitionSchedule().GetCronExpression())}
	var err error
	if w.FirstExchangeDate, err = DateFromProto(message.GetFirstExchangeDate()); err != nil {
		f.add(diag.CodeValue, "firstExchangeDate", "%v", err)
	}
	w.Identifiers = identifiersFromInternal(f, message.GetExchangeIdentifiers())
	if n := len(message.GetSteps()); n > MaxSteps {
		f.add(diag.CodeRule, "steps", "there are %d steps; at most %d are allowed", n, MaxSteps)
	} else {
		for i, s := range message.GetSteps() {
			w.Steps = append(w.Steps, stepFromInternal(f, i, proto.CloneOf(s)))
		}
	}
	warnUnknownFields(f, message.ProtoReflect())
	if f.list.HasErrors() {
		return nil, f.list
	}
	return w, f.list
}

// FromV2Alpha makes a Workflow of a message of the Kingdom's schema. It is
// FromInternal after resource names were cut to bare ids. The message is not
// kept.
func FromV2Alpha(message *v2alpha.ExchangeWorkflow) (*Workflow, diag.List) {
	f := &faults{}
	converted := &internalpb.ExchangeWorkflow{FirstExchangeDate: message.GetFirstExchangeDate()}
	if s := message.GetRepetitionSchedule(); s != nil {
		converted.RepetitionSchedule = &internalpb.ExchangeWorkflow_Schedule{CronExpression: s.GetCronExpression()}
	}
	if ids := message.GetExchangeIdentifiers(); ids != nil {
		converted.ExchangeIdentifiers = &internalpb.ExchangeWorkflow_ExchangeIdentifiers{
			DataProviderId:     bareID(f, "dataProvider", dataProviders, ids.GetDataProvider()),
			ModelProviderId:    bareID(f, "modelProvider", modelProviders, ids.GetModelProvider()),
			SharedStorageOwner: internalpb.ExchangeWorkflow_Party(ids.GetSharedStorageOwner()),
			Storage:            internalpb.ExchangeWorkflow_StorageType(ids.GetStorage()),
		}
	}
	for i, s := range message.GetSteps() {
		step := &internalpb.ExchangeWorkflow_Step{}
		// Step types have the same numbers in both schemas. A type that v2alpha
		// lacks is among its unknown fields, and must not come to life here.
		if err := transcode(s, step); err != nil {
			f.add(diag.CodeValue, stepPath(i), "%s can't be converted: %v", called(i, s.GetStepId()), err)
		}
		converted.Steps = append(converted.Steps, step)
	}
	warnUnknownFields(f, message.ProtoReflect())
	w, list := FromInternal(converted)
	for i := range list {
		hintAtUnknownStep(&list[i], message)
	}
	list = append(f.list, list...)
	if list.HasErrors() {
		return nil, list
	}
	return w, list
}

// ToV2Alpha returns the workflow in the Kingdom's schema. It fails on what
// that schema can't say: the steps of the authorized-view flow.
func ToV2Alpha(w *Workflow) (*v2alpha.ExchangeWorkflow, diag.List) {
	f := &faults{}
	source := w.Proto()
	out := &v2alpha.ExchangeWorkflow{
		FirstExchangeDate: source.GetFirstExchangeDate(),
		ExchangeIdentifiers: &v2alpha.ExchangeWorkflow_ExchangeIdentifiers{
			DataProvider:       dataProviders + w.Identifiers.DataProvider,
			ModelProvider:      modelProviders + w.Identifiers.ModelProvider,
			SharedStorageOwner: v2alpha.ExchangeWorkflow_Party(source.GetExchangeIdentifiers().GetSharedStorageOwner()),
			Storage:            v2alpha.ExchangeWorkflow_StorageType(source.GetExchangeIdentifiers().GetStorage()),
		},
	}
	if s := source.GetRepetitionSchedule(); s != nil {
		out.RepetitionSchedule = &v2alpha.ExchangeWorkflow_Schedule{CronExpression: s.GetCronExpression()}
	}
	for i, s := range w.Steps {
		step := &v2alpha.ExchangeWorkflow_Step{}
		if s.Kind.InternalOnly() || s.AuthorizedView {
			f.add(diag.CodeRule, stepPath(i), "%s is of the authorized-view flow, which the Kingdom's schema can't express", s.called()).
				hint("run this workflow without a Kingdom (coordinator.checkpoint), from the internal schema")
			continue
		}
		message := source.Steps[i]
		if message.GetPreprocessEventsStep() != nil {
			message.GetPreprocessEventsStep().Protocol = 0 // v2alpha has no protocol: this is what it means there
		}
		if err := transcode(message, step); err != nil {
			f.add(diag.CodeValue, stepPath(i), "%s can't be converted: %v", s.called(), err)
		}
		out.Steps = append(out.Steps, step)
	}
	if f.list.HasErrors() {
		return nil, f.list
	}
	return out, f.list
}

// hintAtUnknownStep says which unknown field of the original may be the step type that is missing.
func hintAtUnknownStep(d *diag.Diagnostic, original *v2alpha.ExchangeWorkflow) {
	if d.Code != diag.CodeMissing {
		return
	}
	for i, s := range original.GetSteps() {
		if d.Path == stepPath(i) {
			d.Hint = newerStepHint(s.ProtoReflect().GetUnknown())
		}
	}
}

func newerStepHint(unknown protoreflect.RawFields) string {
	if n := unknownNumber(unknown); n > 0 {
		return fmt.Sprintf("its field %d may be a step type of a newer version", n)
	}
	return "set exactly one of the ..._step fields"
}

// transcode copies a message into one of another schema with the same numbers, without unknown fields.
func transcode(from, to proto.Message) error {
	from = proto.Clone(from)
	discardUnknown(from.ProtoReflect())
	wire, err := proto.Marshal(from)
	if err != nil {
		return err
	}
	return proto.Unmarshal(wire, to)
}

func identifiersFromInternal(f *faults, ids *internalpb.ExchangeWorkflow_ExchangeIdentifiers) Identifiers {
	out := Identifiers{
		DataProvider:  ids.GetDataProviderId(),
		ModelProvider: ids.GetModelProviderId(),
		Storage:       OtherStorage,
	}
	if ids == nil {
		f.add(diag.CodeMissing, "exchangeIdentifiers", "exchange identifiers are missing").
			hint("name both parties and the owner of shared storage")
		return out
	}
	switch ids.GetStorage() { // others mean the same as none, as in the reference
	case internalpb.ExchangeWorkflow_GOOGLE_CLOUD_STORAGE:
		out.Storage = GCS
	case internalpb.ExchangeWorkflow_AMAZON_S3:
		out.Storage = S3
	default:
	}
	party, ok := partyFromProto(ids.GetSharedStorageOwner())
	if !ok {
		f.add(diag.CodeValue, "exchangeIdentifiers.sharedStorageOwner",
			"shared storage owner is %s; MODEL_PROVIDER or DATA_PROVIDER are allowed", ids.GetSharedStorageOwner())
	}
	out.SharedStorageOwner = party
	return out
}

func stepFromInternal(f *faults, index int, message *internalpb.ExchangeWorkflow_Step) Step {
	s := Step{
		Index:   index,
		ID:      message.GetStepId(),
		Inputs:  message.GetInputLabels(),
		Outputs: message.GetOutputLabels(),
		Message: message,
	}
	party, ok := partyFromProto(message.GetParty())
	if !ok {
		f.add(diag.CodeValue, stepPath(index, "party"),
			"%s has party %s; MODEL_PROVIDER or DATA_PROVIDER are allowed", s.called(), message.GetParty())
	}
	s.Party = party
	if n := max(len(s.Inputs), len(s.Outputs)); n > MaxLabels {
		f.add(diag.CodeRule, stepPath(index), "%s has %d labels; at most %d are allowed", s.called(), n, MaxLabels)
	}
	field := message.ProtoReflect().WhichOneof(stepOneof())
	if field == nil {
		f.add(diag.CodeMissing, stepPath(index), "%s has no step type that this program knows", s.called()).
			hint(newerStepHint(message.ProtoReflect().GetUnknown()))
		return s
	}
	s.Kind = Kind(field.Number())
	s.Copy = copyMode(f, s)
	s.AuthorizedView = preprocessProtocol(f, s)
	s.Parameters = parametersOf(f, s)
	return s
}

func copyMode(f *faults, s Step) CopyMode {
	var options *internalpb.ExchangeWorkflow_Step_CopyOptions
	switch s.Kind {
	case CopyFromSharedStorage:
		options = s.Message.GetCopyFromSharedStorageStep().GetCopyOptions()
	case CopyToSharedStorage:
		options = s.Message.GetCopyToSharedStorageStep().GetCopyOptions()
	default:
		return ""
	}
	switch options.GetLabelType() {
	case internalpb.ExchangeWorkflow_Step_CopyOptions_BLOB:
		return CopyBlob
	case internalpb.ExchangeWorkflow_Step_CopyOptions_MANIFEST:
		return CopyManifest
	default:
	}
	f.add(diag.CodeValue, stepPath(s.Index, jsonName(s.Kind), "copyOptions", "labelType"),
		"%s has label type %s; BLOB or MANIFEST are allowed", s.called(), options.GetLabelType()).
		hint("MANIFEST if the label is a manifest of shards, else BLOB")
	return ""
}

func preprocessProtocol(f *faults, s Step) (authorizedView bool) {
	switch p := s.Message.GetPreprocessEventsStep().GetProtocol(); p {
	case internalpb.ExchangeWorkflow_Step_PreprocessEventsStep_AUTHORIZED_VIEW:
		return true
	case internalpb.ExchangeWorkflow_Step_PreprocessEventsStep_PREPROCESSOR_PROTOCOL_UNSPECIFIED,
		internalpb.ExchangeWorkflow_Step_PreprocessEventsStep_PRIVATE_MEMBERSHIP:
	default:
		f.add(diag.CodeValue, stepPath(s.Index, jsonName(s.Kind), "protocol"),
			"%s has protocol %s; PRIVATE_MEMBERSHIP or AUTHORIZED_VIEW are allowed", s.called(), p)
	}
	return false
}

// parametersOf unpacks the parameters. What does not unpack is for Lint and the step to complain about, as in the
// reference: such a workflow is parsed all the same.
func parametersOf(f *faults, s Step) *batchpb.Parameters {
	packed := packedParameters(s.Message)
	if packed == nil || !packed.MessageIs(&batchpb.Parameters{}) {
		return nil
	}
	parameters := &batchpb.Parameters{}
	if err := packed.UnmarshalTo(parameters); err != nil {
		f.warn(diag.CodeSyntax, stepPath(s.Index, jsonName(s.Kind), "parameters"), "%s has damaged parameters: %s", s.called(), plain(err))
		return nil
	}
	return parameters
}

// bareID cuts a resource name to the id.
func bareID(f *faults, field, prefix, name string) string {
	id, ok := strings.CutPrefix(name, prefix)
	if !ok || id == "" || strings.Contains(id, "/") {
		f.add(diag.CodeValue, "exchangeIdentifiers."+field, "%q is no resource name; %s<id> is allowed", shorten(name), prefix)
	}
	return id
}

func partyFromProto(p internalpb.ExchangeWorkflow_Party) (manifest.Party, bool) {
	switch p {
	case internalpb.ExchangeWorkflow_MODEL_PROVIDER:
		return manifest.ModelProvider, true
	case internalpb.ExchangeWorkflow_DATA_PROVIDER:
		return manifest.DataProvider, true
	default:
		return "", false
	}
}

// jsonName returns the step type's field name as JSON, YAML and CUE spell it.
func jsonName(k Kind) string {
	if field := stepOneof().Fields().ByNumber(protoreflect.FieldNumber(k)); field != nil {
		return field.JSONName()
	}
	return ""
}

// shorten keeps hostile text readable.
func shorten(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

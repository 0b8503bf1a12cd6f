// Package step holds what each type of workflow step does, one file per
// family, and the table of those that this build can run. A step reads blobs of
// the exchange's private storage and writes others; the two copy steps move
// blobs to and from shared storage.
//
// It decides nothing about when a step runs, and keeps no state: package
// exchange does both. Which labels a step type takes and gives stands in
// package workflow's table.
package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Shared is the shared storage of one exchange, in which every blob is signed.
type Shared interface {
	// Write signs what src holds and writes it under key, with its signature beside it.
	Write(ctx context.Context, key string, src io.Reader) error
	// Author finds out who signed the blob of key, and returns a reader for blobs of that author. A missing
	// blob or signature fails with provider.ErrNotFound.
	Author(ctx context.Context, key string) (Author, error)
}

// Author reads blobs that one certificate of the partner signed.
type Author interface {
	// Read copies the blob of key to scratch, verifies it there, and returns it with its bare signature.
	// Nothing of a blob that does not verify is ever returned. The caller closes the spool.
	Read(ctx context.Context, key string) (data *blob.Spool, signature []byte, err error)
}

// Certificates makes this party's exchange certificates.
type Certificates interface {
	// Create makes the certificate of an exchange, unless there is one, and returns its name.
	Create(ctx context.Context, key blob.ExchangeKey) (name string, err error)
}

// Env is what a step runs in.
type Env struct {
	Exchange blob.ExchangeKey
	Workflow *workflow.Workflow
	Step     workflow.Step
	// Private is the exchange's private storage.
	Private *blob.Store
	// Shared opens the exchange's shared storage. Only copy steps call it.
	Shared func(ctx context.Context) (Shared, error)
	// PrivateOf opens the private storage of another exchange, for CopyFromPreviousExchange.
	PrivateOf    func(ctx context.Context, key blob.ExchangeKey) (*blob.Store, error)
	Certificates Certificates
	Limits       manifest.Limits
	// InputInterval is the pause between looks at an input that is waited for.
	InputInterval time.Duration
	Log           *slog.Logger
}

// Func runs one step. It returns nil after all outputs are written. An error's class (package failure)
// says whether another try could help.
type Func func(ctx context.Context, env *Env) error

// Table holds the step types that a build can run.
type Table map[workflow.Kind]Func

// Steps returns the step types of this build.
func Steps() Table {
	return Table{
		workflow.CopyFromSharedStorage:               copyFromShared,
		workflow.CopyToSharedStorage:                 copyToShared,
		workflow.Input:                               input,
		workflow.CopyFromPreviousExchange:            copyFromPrevious,
		workflow.GenerateCertificate:                 producer(generateCertificate),
		workflow.GenerateRandomBytes:                 producer(generateRandomBytes),
		workflow.GenerateCommutativeDeterministicKey: producer(generateCommutativeKey),
		workflow.AssignJoinKeyIDs:                    inMemory(assignJoinKeyIDs),
		workflow.IntersectAndValidate:                inMemory(intersectAndValidate),
		workflow.CommutativeDeterministicEncrypt:     inMemory(commutativeEncrypt),
		workflow.CommutativeDeterministicReEncrypt:   inMemory(commutativeReEncrypt),
		workflow.CommutativeDeterministicDecrypt:     inMemory(commutativeDecrypt),
		workflow.GenerateLookupKeys:                  inMemory(generateLookupKeys),
		workflow.GenerateHybridEncryptionKeyPair:     inMemory(generateHybridKeyPair),
		workflow.HybridEncrypt:                       inMemory(hybridEncrypt),
		workflow.HybridDecrypt:                       inMemory(hybridDecrypt),
	}
}

// Run runs env.Step with the function of its type.
func (t Table) Run(ctx context.Context, env *Env) error {
	f, ok := t[env.Step.Kind]
	if !ok || env.Step.AuthorizedView {
		return failure.Permanentf(failure.CodeUnsupported, "steps of type %s are not in this build", env.Step.Kind)
	}
	if err := checkLabels(env.Step); err != nil {
		return failure.New(failure.Permanent, failure.CodeWorkflow, err)
	}
	return f(ctx, env)
}

// checkLabels refuses labels that are no blob keys, and outputs that the engine keeps for itself, before
// anything is read or written.
func checkLabels(s workflow.Step) error {
	for _, label := range s.InputLabels() {
		if err := blob.CheckKey(label); err != nil {
			return fmt.Errorf("input of step %s: %w", s.ID, err)
		}
	}
	for _, label := range s.OutputLabels() {
		if err := blob.CheckLabel(label); err != nil {
			return fmt.Errorf("output of step %s: %w", s.ID, err)
		}
	}
	return nil
}

// Has reports whether this build can run the step.
func (t Table) Has(s workflow.Step) bool {
	_, ok := t[s.Kind]
	return ok && !s.AuthorizedView
}

// blobs are whole inputs or outputs, by what the step type calls them.
type blobs map[string][]byte

// inMemory makes a step of a function from whole inputs to whole outputs.
func inMemory(f func(ctx context.Context, env *Env, in blobs) (blobs, error)) Func {
	return func(ctx context.Context, env *Env) error {
		in, err := readInputs(ctx, env)
		if err != nil {
			return err
		}
		out, err := f(ctx, env, in)
		if err != nil {
			return err
		}
		return writeOutputs(ctx, env, out)
	}
}

// producer makes a step of a function that takes no inputs.
func producer(f func(ctx context.Context, env *Env) (blobs, error)) Func {
	return inMemory(func(ctx context.Context, env *Env, _ blobs) (blobs, error) {
		if len(env.Step.Inputs) > 0 {
			return nil, failure.Permanentf(failure.CodeWorkflow, "step %s takes no inputs, but the workflow gives it %d", env.Step.ID, len(env.Step.Inputs))
		}
		return f(ctx, env)
	})
}

// readInputs reads the inputs that the step type takes. Further ones must exist, and are not read.
func readInputs(ctx context.Context, env *Env) (blobs, error) {
	spec := workflow.SpecOf(env.Step)
	in := blobs{}
	for _, name := range slices.Sorted(maps.Keys(env.Step.Inputs)) {
		label := env.Step.Inputs[name]
		if _, taken := spec.Input(name); !taken {
			if err := mustExist(ctx, env, label); err != nil {
				return nil, err
			}
			continue
		}
		b, err := env.Private.GetBytes(ctx, label, wholeLimit(env.Limits))
		if err != nil {
			return nil, missing(label, err)
		}
		in[name] = b
	}
	for _, want := range spec.Inputs {
		if _, ok := in[want.Key]; !ok && !want.Optional && want.Key != "" {
			return nil, failure.Permanentf(failure.CodeWorkflow, "step %s has no input %s, which steps of type %s need", env.Step.ID, want.Key, env.Step.Kind)
		}
	}
	return in, nil
}

// maxWhole bounds a blob that has to be in memory whole if limits.privateBlob does not.
const maxWhole = 4 << 30

func wholeLimit(l manifest.Limits) int64 {
	if l.PrivateBlob > 0 {
		return int64(l.PrivateBlob)
	}
	return maxWhole
}

func mustExist(ctx context.Context, env *Env, label string) error {
	ok, err := env.Private.Exists(ctx, label)
	if err != nil {
		return err
	}
	if !ok {
		return missing(label, provider.ErrNotFound)
	}
	return nil
}

// missing gives an absent input its code, unless the error has one. It may come later: whoever produces
// it says that it is done only after it has been written, but a store may show it late.
func missing(label string, err error) error {
	var sorted *failure.Error
	if errors.Is(err, provider.ErrNotFound) && !errors.As(err, &sorted) {
		return failure.New(failure.Transient, failure.CodeMissingInput, fmt.Errorf("input blob %s: %w", label, err))
	}
	return err
}

// writeOutputs writes what the step made, in the order of the labels. Only the outputs that the
// workflow asks for are written; one that it must ask for and does not is an error, and then nothing is.
func writeOutputs(ctx context.Context, env *Env, out blobs) error {
	spec := workflow.SpecOf(env.Step)
	names := slices.Sorted(maps.Keys(out))
	for _, name := range names {
		if _, ok := env.Step.Outputs[name]; ok {
			continue
		}
		if l, known := spec.Output(name); !known || !l.Optional {
			return failure.Permanentf(failure.CodeWorkflow, "step %s has no output %s, which steps of type %s make", env.Step.ID, name, env.Step.Kind)
		}
	}
	for _, name := range names {
		label, ok := env.Step.Outputs[name]
		if !ok {
			continue
		}
		if err := env.Private.Put(ctx, label, bytes.NewReader(out[name])); err != nil {
			return fmt.Errorf("write output %s: %w", label, err)
		}
	}
	return nil
}

// only returns the one label of a step that has exactly one input, or output, under any name.
func only(what string, labels map[string]string, except string) (string, error) {
	var found []string
	for name, label := range labels {
		if name != except || except == "" {
			found = append(found, label)
		}
	}
	if len(found) != 1 {
		return "", failure.Permanentf(failure.CodeWorkflow, "the step needs exactly one %s, and has %d", what, len(found))
	}
	if err := blob.CheckLabel(found[0]); err != nil {
		return "", failure.New(failure.Permanent, failure.CodeWorkflow, err)
	}
	return found[0], nil
}

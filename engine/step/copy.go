package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/shard"
	"github.com/panelmatch/panelmatch/engine/workflow"
)

// parallelShards is how many shards of one manifest are copied at once.
const parallelShards = 8

// maxManifest bounds the text of a manifest blob.
const maxManifest = 1 << 10

// copyToShared signs a private blob, or a manifest with its shards, and writes it to shared storage.
func copyToShared(ctx context.Context, env *Env) error {
	source, err := only("input", env.Step.Inputs, workflow.CertificateLabel)
	if err != nil {
		return err
	}
	target, err := only("output", env.Step.Outputs, "")
	if err != nil {
		return err
	}
	if err := blob.CheckSharedLabel(target); err != nil {
		return failure.New(failure.Permanent, failure.CodeWorkflow, err)
	}
	shared, err := env.Shared(ctx)
	if err != nil {
		return err
	}
	switch env.Step.Copy {
	case workflow.CopyBlob:
		return export(ctx, env, shared, source, target)
	case workflow.CopyManifest:
		return exportManifest(ctx, env, shared, source, target)
	}
	return failure.Permanentf(failure.CodeWorkflow, "step %s does not say whether it copies a BLOB or a MANIFEST", env.Step.ID)
}

func export(ctx context.Context, env *Env, shared Shared, source, target string) error {
	r, err := env.Private.Get(ctx, source)
	if err != nil {
		return missing(source, err)
	}
	defer r.Close() //nolint:errcheck // opened for reading only
	if err := shared.Write(ctx, target, r); err != nil {
		return fmt.Errorf("export %s: %w", target, err)
	}
	return nil
}

// exportManifest writes the manifest first and then the shards, which keep their names. The partner
// cannot begin before all are there: the step is not done until then.
func exportManifest(ctx context.Context, env *Env, shared Shared, source, target string) error {
	if label, ok := env.Step.Inputs[workflow.CertificateLabel]; ok {
		if err := mustExist(ctx, env, label); err != nil {
			return err
		}
	}
	text, err := env.Private.GetBytes(ctx, source, maxManifest)
	if err != nil {
		return missing(source, err)
	}
	m, err := shard.ParseStrict(string(text))
	if err != nil {
		return failure.New(failure.Permanent, failure.CodeBadInput, fmt.Errorf("manifest %s: %w", source, err))
	}
	if err := shared.Write(ctx, target, bytes.NewReader(text)); err != nil {
		return fmt.Errorf("export %s: %w", target, err)
	}
	return eachShard(ctx, m, func(ctx context.Context, name string) error {
		if err := blob.CheckSharedLabel(name); err != nil {
			return failure.New(failure.Permanent, failure.CodeBadInput, err)
		}
		return export(ctx, env, shared, name, name)
	})
}

// copyFromShared copies a blob of the partner, or a manifest with its shards, to private storage. The
// bytes are verified in scratch first; the bare signature stays beside the blob.
func copyFromShared(ctx context.Context, env *Env) error {
	source, err := only("input", env.Step.Inputs, "")
	if err != nil {
		return err
	}
	target, err := only("output", env.Step.Outputs, "")
	if err != nil {
		return err
	}
	if err := blob.CheckSharedLabel(source); err != nil {
		return failure.New(failure.Permanent, failure.CodeWorkflow, err)
	}
	shared, err := env.Shared(ctx)
	if err != nil {
		return err
	}
	author, err := shared.Author(ctx, source)
	if err != nil {
		return fmt.Errorf("import %s: %w", source, missing(source, err))
	}
	switch env.Step.Copy {
	case workflow.CopyBlob:
		return imported(ctx, env, author, source, target)
	case workflow.CopyManifest:
		return importManifest(ctx, env, author, source, target)
	}
	return failure.Permanentf(failure.CodeWorkflow, "step %s does not say whether it copies a BLOB or a MANIFEST", env.Step.ID)
}

func imported(ctx context.Context, env *Env, author Author, source, target string) error {
	data, signature, err := author.Read(ctx, source)
	if err != nil {
		return fmt.Errorf("import %s: %w", source, missing(source, err))
	}
	defer data.Close() //nolint:errcheck // the scratch file goes away with the process at the latest
	return keep(ctx, env, data, signature, target)
}

// keep writes a verified blob and its signature to private storage.
func keep(ctx context.Context, env *Env, data *blob.Spool, signature []byte, target string) error {
	if err := env.Private.PutBytes(ctx, blob.SignatureKey(target), signature); err != nil {
		return fmt.Errorf("write the signature of %s: %w", target, err)
	}
	if err := data.Commit(ctx, env.Private, target); err != nil {
		return fmt.Errorf("write %s: %w", target, err)
	}
	return nil
}

func importManifest(ctx context.Context, env *Env, author Author, source, target string) error {
	data, signature, err := author.Read(ctx, source)
	if err != nil {
		return fmt.Errorf("import %s: %w", source, missing(source, err))
	}
	defer data.Close() //nolint:errcheck // the scratch file goes away with the process at the latest
	if data.Size() > maxManifest {
		return failure.Permanentf(failure.CodeBadInput, "manifest %s is %d bytes long; at most %d are accepted", source, data.Size(), maxManifest)
	}
	text, err := io.ReadAll(data.Reader())
	if err != nil {
		return err
	}
	m, err := shard.Parse(string(text))
	if err != nil {
		return failure.New(failure.Permanent, failure.CodeBadInput, fmt.Errorf("manifest %s: %w", source, err))
	}
	if err := collides(env, m); err != nil {
		return err
	}
	err = eachShard(ctx, m, func(ctx context.Context, name string) error {
		if err := blob.CheckSharedLabel(name); err != nil {
			return failure.New(failure.Permanent, failure.CodeBadInput, err)
		}
		err := imported(ctx, env, author, name, name)
		if errors.Is(err, provider.ErrNotFound) {
			err = fmt.Errorf("the partner's manifest names shard %s: %w", name, err)
		}
		return err
	})
	if err != nil {
		return err
	}
	// The manifest comes last: when it is there, all of its shards are.
	return keep(ctx, env, data, signature, target)
}

// collides refuses a manifest of the partner whose shards would overwrite blobs of ours: the shards
// keep the partner's names.
func collides(env *Env, m shard.Name) error {
	bases := map[string]string{} // labels that other steps of ours write, whose shards may lie beside them
	names := map[string]string{} // labels of blobs in our private storage
	for _, s := range env.Workflow.StepsOf(env.Step.Party) {
		for _, label := range s.OutputLabels() {
			names[label] = s.ID
			if s.ID != env.Step.ID {
				bases[label] = s.ID
			}
		}
		if s.Kind == workflow.CopyFromSharedStorage {
			continue // its input is a label of shared storage
		}
		for _, label := range s.InputLabels() {
			if _, ok := names[label]; !ok {
				names[label] = s.ID
			}
		}
	}
	if id, ok := bases[m.Base]; ok {
		return failure.Permanentf(failure.CodeBadInput, "the partner's shards are called %s-..., which are the shards of our step %s", m.Base, id)
	}
	for i := range m.Count {
		if id, ok := names[m.Shard(i)]; ok {
			return failure.Permanentf(failure.CodeBadInput, "the partner's shard %s would overwrite a blob of our step %s", m.Shard(i), id)
		}
	}
	return nil
}

// eachShard calls f for every shard, a few at once, and stops at the first error.
func eachShard(ctx context.Context, m shard.Name, f func(ctx context.Context, name string) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelShards)
	for i := range m.Count {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return f(ctx, m.Shard(i)) })
	}
	return g.Wait()
}

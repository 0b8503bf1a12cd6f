package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/engine/coordinator/checkpoint"
	"github.com/panelmatch/panelmatch/engine/exchange"
	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/step"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// RunOptions are for Run. The zero value is good.
type RunOptions struct {
	// Log gets what happens; nil for nobody.
	Log *slog.Logger
	// Observer is told of steps as they are claimed and end; nil for nobody.
	Observer exchange.Observer
}

// Run opens the provider graph, runs exchanges until ctx is cancelled (or, in
// CRON_JOB mode, until nothing can be claimed and nothing runs), and closes the
// graph. After ctx is cancelled, running steps get run.shutdownGrace. It returns
// nil after an orderly end.
func (e *Engine) Run(ctx context.Context, o RunOptions) (err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	opened, err := e.Open(ctx, OpenOptions{Log: o.Log})
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil // told to stop before it began: nothing is left open or undone
		}
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	loop, err := e.assemble(opened, o)
	if err != nil {
		return err
	}
	return loop.Run(ctx)
}

// checkpointSettings are those of coordinator.checkpoint that the graph does not resolve.
type checkpointSettings struct {
	Lookback  manifest.Duration `json:"lookback"`
	Signature string            `json:"signature"`
	EveryDay  bool              `json:"everyDay"`
}

// computeSettings are those of compute.local.
type computeSettings struct {
	Scratch string `json:"scratch"`
}

// assemble builds the daemon on top of an open graph.
func (e *Engine) assemble(opened *graph.Opened, o RunOptions) (*exchange.Loop, error) {
	m := e.manifest
	if m.Coordinator.Name != "checkpoint" {
		return nil, fmt.Errorf("coordinator.%s is not in this build; coordinator.checkpoint is", m.Coordinator.Name)
	}
	var settings checkpointSettings
	if err := m.Coordinator.Decode(&settings).Err(); err != nil {
		return nil, err
	}
	algorithm, err := trust.ParseAlgorithm(settings.Signature)
	if err != nil {
		return nil, fmt.Errorf("coordinator.checkpoint.signature: %w", err)
	}
	var scratch computeSettings
	if m.Compute.Name == "local" {
		if err := m.Compute.Decode(&scratch).Err(); err != nil {
			return nil, err
		}
	}
	storage := &stores{opened: opened, limits: m.Limits}
	manager, err := e.trust(opened, storage, o.Log)
	if err != nil {
		return nil, err
	}
	stored := &workflows{stored: opened.UseCase(manifest.ValidExchangeWorkflows), format: workflow.InternalBinary}
	var c coordinator.Coordinator = checkpoint.New(checkpoint.Config{
		Party:              m.Identity.Party,
		RecurringExchanges: e.graph.RecurringExchanges(),
		Lookback:           settings.Lookback.Std(),
		TaskTimeout:        m.Run.TaskTimeout.Std(),
		EveryDay:           settings.EveryDay,
	}, stored.stored, checkpoints{storage}, checkpointSigner{manager, algorithm})
	return &exchange.Loop{
		Coordinator: c,
		Runner: &exchange.Steps{
			Validator: &exchange.Validator{Workflows: stored.stored, Format: stored.format, Party: m.Identity.Party},
			Stores: &signed{
				stores: storage, trust: manager, workflows: stored, party: m.Identity.Party,
				scratch: blob.Scratch{Dir: scratch.Scratch, Limit: int64(m.Limits.SharedBlob)},
			},
			Certificates:  certificates{manager},
			Table:         step.Steps(),
			Limits:        m.Limits,
			InputInterval: m.Run.InputInterval.Std(),
			Log:           o.Log,
		},
		Config:   m.Run,
		Log:      o.Log,
		Observer: o.Observer,
	}, nil
}

// trust builds the manager of certificates and signing keys.
func (e *Engine) trust(opened *graph.Opened, storage *stores, log *slog.Logger) (*trust.Manager, error) {
	m := e.manifest
	policy, err := trust.NewPolicy(m.Trust)
	if err != nil {
		return nil, err
	}
	policy.Log(log)
	sealer := trust.NoSealer()
	if kms := opened.KMS(); kms != nil {
		if sealer, err = trust.NewSealer(kms, trust.Format(m.Keys.Format)); err != nil {
			return nil, err
		}
	} else {
		log.Warn("private keys are stored as they are: the storage protects them", "reason", m.KeyProtection.StorageReason)
	}
	return trust.New(trust.Config{
		Own:       m.Identity.ID,
		Keys:      m.Keys,
		Subject:   m.CertificateAuthority.Subject,
		Validity:  m.CertificateAuthority.Validity.Std(),
		Authority: opened.CertificateAuthority(),
		Store:     trust.NewKeyStore(opened.UseCase(manifest.PrivateKeys), sealer, m.Keys),
		Roots:     opened.UseCase(manifest.RootCertificates),
		Directory: trust.NewSharedDirectory(m.Identity.ID, storage.unsigned),
		Policy:    policy,
		Log:       log,
	})
}

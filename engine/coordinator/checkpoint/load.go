package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

// MaxBytes bounds a checkpoint. A workflow of 40 steps that failed often makes about 100 KiB.
const MaxBytes = 16 << 20

// maxEntries bounds the progress entries of one checkpoint.
const maxEntries = 100_000

// readTries and readPause are for checkpoints that are half there: a partner whose storage does not
// replace blobs in one step is in the middle of writing. The pause doubles.
const (
	readTries = 4
	readPause = 250 * time.Millisecond
)

// load reads and verifies both checkpoints of an exchange.
func (c *Coordinator) load(ctx context.Context, p place) (*state, error) {
	s, err := c.loadOwn(ctx, p)
	if err != nil {
		return nil, err
	}
	other := c.config.Party.Other()
	s.partner, _, err = c.read(ctx, p, other)
	if err != nil {
		return nil, err
	}
	copy(s.claimed[:], s.partner.GetWorkflowFingerprint())
	return s, nil
}

// loadOwn is load without the partner's checkpoint.
func (c *Coordinator) loadOwn(ctx context.Context, p place) (*state, error) {
	own, version, err := c.read(ctx, p, c.config.Party)
	if err != nil {
		return nil, err
	}
	if string(own.GetWorkflowFingerprint()) != string(p.doc.Fingerprint[:]) {
		return nil, failure.Configurationf(failure.CodeWorkflowMismatch,
			"the workflow that is stored for %s is not the one that this exchange began with; put the earlier one back, or let the exchange be",
			p.key.RecurringExchange)
	}
	return &state{key: p.key, doc: p.doc, party: c.config.Party, own: own, version: version}, nil
}

// read reads one party's checkpoint; a fresh one if there is none. Damage is read again a few times
// before it is believed.
func (c *Coordinator) read(ctx context.Context, p place, party manifest.Party) (*internalpb.ExchangeCheckpoint, string, error) {
	name := blob.CheckpointKey(party)
	pause := readPause
	for try := 1; ; try++ {
		data, version, err := c.storage.Read(ctx, p.key, name)
		if errors.Is(err, provider.ErrNotFound) {
			return fresh(p, party), "", nil
		}
		if err != nil {
			return nil, "", fmt.Errorf("read %s: %w", name, err)
		}
		cp, err := c.open(ctx, p, party, data)
		if err == nil {
			return cp, version, nil
		}
		if try == readTries {
			return nil, "", failure.New(failure.Transient, failure.CodeCheckpoint, fmt.Errorf("%s: %w", name, err))
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, "", ctx.Err()
		case <-timer.C:
		}
		pause *= 2
	}
}

// open parses and verifies a signed checkpoint, and checks that it belongs where it lies.
func (c *Coordinator) open(ctx context.Context, p place, party manifest.Party, data []byte) (*internalpb.ExchangeCheckpoint, error) {
	if len(data) == 0 {
		return nil, errors.New("the checkpoint is empty; its writer may be in the middle of it")
	}
	signed := &internalpb.SignedExchangeCheckpoint{}
	if err := proto.Unmarshal(data, signed); err != nil {
		return nil, errors.New("this is not a signed checkpoint")
	}
	ids := p.doc.Workflow.Identifiers
	owner := ids.ModelProvider
	if party == manifest.DataProvider {
		owner = ids.DataProvider
	}
	err := c.signer.Verify(ctx, p.key, owner, signed.GetSerializedCheckpoint(), Signature{
		Bytes:           signed.GetSignature(),
		AlgorithmOID:    signed.GetSignatureAlgorithmOid(),
		CertificateName: signed.GetCertName(),
	})
	if err != nil {
		return nil, fmt.Errorf("the signature is not acceptable: %w", err)
	}
	cp := &internalpb.ExchangeCheckpoint{}
	if err := proto.Unmarshal(signed.GetSerializedCheckpoint(), cp); err != nil {
		return nil, errors.New("the signed bytes are not a checkpoint")
	}
	return cp, belongs(cp, p.key, party)
}

// belongs checks a checkpoint against the place that it was read from: a signature alone does not keep
// an old or a foreign one from being put there.
func belongs(cp *internalpb.ExchangeCheckpoint, key blob.ExchangeKey, party manifest.Party) error {
	date, err := workflow.DateFromProto(cp.GetExchangeDate())
	switch {
	case cp.GetParty() != wireParty(party):
		return fmt.Errorf("it is the checkpoint of %s, where that of %s belongs", cp.GetParty(), party)
	case cp.GetRecurringExchangeId() != key.RecurringExchange:
		return fmt.Errorf("it is a checkpoint of recurring exchange %q, where one of %s belongs", clip(cp.GetRecurringExchangeId()), key.RecurringExchange)
	case err != nil:
		return fmt.Errorf("its exchange date: %w", err)
	case date != key.Date:
		return fmt.Errorf("it is a checkpoint of %s, where one of %s belongs", date, key.Date)
	case len(cp.GetWorkflowFingerprint()) != len(workflow.Fingerprint{}):
		return fmt.Errorf("its workflow fingerprint has %d bytes, not %d", len(cp.GetWorkflowFingerprint()), len(workflow.Fingerprint{}))
	case len(cp.GetProgressEntries()) > maxEntries:
		return fmt.Errorf("it has %d entries; at most %d are accepted", len(cp.GetProgressEntries()), maxEntries)
	}
	return nil
}

func fresh(p place, party manifest.Party) *internalpb.ExchangeCheckpoint {
	return &internalpb.ExchangeCheckpoint{
		Party:               wireParty(party),
		RecurringExchangeId: p.key.RecurringExchange,
		ExchangeDate:        p.key.Date.Proto(),
		WorkflowFingerprint: p.doc.Fingerprint[:],
		ExchangeState:       stateInProgress,
	}
}

// write signs our checkpoint and replaces it, unless somebody else did since it was read.
func (c *Coordinator) write(ctx context.Context, s *state) error {
	payload, err := proto.Marshal(s.own)
	if err != nil {
		return fmt.Errorf("serialize the checkpoint: %w", err)
	}
	sig, err := c.signer.Sign(ctx, s.key, payload)
	if err != nil {
		return fmt.Errorf("sign the checkpoint: %w", err)
	}
	data, err := proto.Marshal(&internalpb.SignedExchangeCheckpoint{
		SerializedCheckpoint:  payload,
		Signature:             sig.Bytes,
		SignatureAlgorithmOid: sig.AlgorithmOID,
		CertName:              sig.CertificateName,
	})
	if err != nil {
		return fmt.Errorf("serialize the checkpoint: %w", err)
	}
	name := blob.CheckpointKey(s.party)
	if err := c.storage.Write(ctx, s.key, name, data, s.version); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func wireParty(p manifest.Party) internalpb.ExchangeWorkflow_Party {
	if p == manifest.ModelProvider {
		return internalpb.ExchangeWorkflow_MODEL_PROVIDER
	}
	return internalpb.ExchangeWorkflow_DATA_PROVIDER
}

// clip shortens text of a partner for an error.
func clip(s string) string {
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return validUTF8(s)
}

func validUTF8(s string) string { return strings.ToValidUTF8(s, "?") }

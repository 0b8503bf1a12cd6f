package step

import (
	"context"
	"crypto/rand"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/crypto/commutative"
	"github.com/panelmatch/panelmatch/engine/crypto/hybrid"
	"github.com/panelmatch/panelmatch/engine/crypto/lookup"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/wire/joinkeypb"
	"github.com/panelmatch/panelmatch/schema/wire/membershippb"
)

// maxRandomBytes bounds what a workflow may ask for.
const maxRandomBytes = 1 << 20

func generateCertificate(ctx context.Context, env *Env) (blobs, error) {
	name, err := env.Certificates.Create(ctx, env.Exchange)
	if err != nil {
		return nil, err
	}
	return blobs{workflow.CertificateLabel: []byte(name)}, nil
}

func generateRandomBytes(_ context.Context, env *Env) (blobs, error) {
	n := env.Step.Message.GetGenerateRandomBytesStep().GetByteCount()
	if n < 1 || n > maxRandomBytes {
		return nil, failure.Permanentf(failure.CodeWorkflow, "byte_count is %d; it must be from 1 to %d", n, maxRandomBytes)
	}
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	return blobs{"random-bytes": b}, nil
}

func generateCommutativeKey(context.Context, *Env) (blobs, error) {
	key, err := commutative.GenerateKey()
	if err != nil {
		return nil, err
	}
	return blobs{"symmetric-key": key.Bytes()}, nil
}

func generateHybridKeyPair(context.Context, *Env, blobs) (blobs, error) {
	private, public, err := hybrid.GenerateKeyPair()
	if err != nil {
		return nil, err
	}
	return blobs{"public-key-handle": public, "private-key-handle": private}, nil
}

func hybridEncrypt(_ context.Context, _ *Env, in blobs) (blobs, error) {
	out, err := hybrid.Encrypt(in["public-key-handle"], in["plaintext-data"])
	if err != nil {
		return nil, failure.New(failure.Permanent, failure.CodeBadInput, err)
	}
	return blobs{"encrypted-data": out}, nil
}

func hybridDecrypt(_ context.Context, _ *Env, in blobs) (blobs, error) {
	out, err := hybrid.Decrypt(in["private-key-handle"], in["encrypted-data"])
	if err != nil {
		return nil, failure.New(failure.Permanent, failure.CodeBadInput, err)
	}
	return blobs{"decrypted-data": out}, nil
}

func assignJoinKeyIDs(_ context.Context, _ *Env, in blobs) (blobs, error) {
	keys := &joinkeypb.JoinKeyCollection{}
	if err := unmarshal("join-keys", in["join-keys"], keys); err != nil {
		return nil, err
	}
	out, err := assignIDs(keys.GetJoinKeys())
	if err != nil {
		return nil, err
	}
	return marshal("shuffled-join-key-and-ids", out)
}

// intersectAndValidate passes current-data on as it is, if it does not differ too much from previous-data.
func intersectAndValidate(_ context.Context, env *Env, in blobs) (blobs, error) {
	settings := env.Step.Message.GetIntersectAndValidateStep()
	maxSize, maxNew := int(settings.GetMaxSize()), int(settings.GetMaximumNewItemsAllowed())
	first := env.Exchange.Date == env.Workflow.FirstExchangeDate
	current, previous := &joinkeypb.JoinKeyAndIdCollection{}, &joinkeypb.JoinKeyAndIdCollection{}
	if err := unmarshal("current-data", in["current-data"], current); err != nil {
		return nil, err
	}
	if !first && maxNew < maxSize { // else it is not looked at, and may be anything
		if err := unmarshal("previous-data", in["previous-data"], previous); err != nil {
			return nil, err
		}
	}
	if err := overlap(current.GetJoinKeyAndIds(), previous.GetJoinKeyAndIds(), maxSize, maxNew, first); err != nil {
		return nil, err
	}
	return blobs{"current-data": in["current-data"]}, nil
}

func commutativeEncrypt(ctx context.Context, _ *Env, in blobs) (blobs, error) {
	return commute(ctx, in, "unencrypted-data", "encrypted-data", commutative.Encrypt)
}

func commutativeReEncrypt(ctx context.Context, _ *Env, in blobs) (blobs, error) {
	return commute(ctx, in, "encrypted-data", "reencrypted-data", commutative.ReEncrypt)
}

func commutativeDecrypt(ctx context.Context, _ *Env, in blobs) (blobs, error) {
	return commute(ctx, in, "encrypted-data", "decrypted-data", commutative.Decrypt)
}

// commute applies one operation of the cipher to all join keys; order and identifiers stay.
func commute(ctx context.Context, in blobs, from, to string, op commutative.Op) (blobs, error) {
	key, err := commutative.ParseKey(in["encryption-key"])
	if err != nil {
		return nil, failure.New(failure.Permanent, failure.CodeBadInput, fmt.Errorf("input encryption-key: %w", err))
	}
	data := &joinkeypb.JoinKeyAndIdCollection{}
	if err := unmarshal(from, in[from], data); err != nil {
		return nil, err
	}
	entries := data.GetJoinKeyAndIds()
	if err := distinct(from, entries); err != nil {
		return nil, err
	}
	texts := make([][]byte, len(entries))
	for i, e := range entries {
		texts[i] = e.GetJoinKey().GetKey()
	}
	result, err := commutative.New(key, commutative.Options{}).All(ctx, op, texts)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, failure.New(failure.Permanent, failure.CodeBadInput, fmt.Errorf("input %s: %w", from, err))
	}
	for i, e := range entries {
		e.JoinKey = &joinkeypb.JoinKey{Key: result[i]}
	}
	return marshal(to, data)
}

func generateLookupKeys(_ context.Context, _ *Env, in blobs) (blobs, error) {
	pepper := in["pepper"]
	if len(pepper) == 0 {
		return nil, failure.Permanentf(failure.CodeBadInput, "input pepper is empty")
	}
	data := &joinkeypb.JoinKeyAndIdCollection{}
	if err := unmarshal("join-keys", in["join-keys"], data); err != nil {
		return nil, err
	}
	out := &membershippb.LookupKeyAndIdCollection{}
	for _, e := range data.GetJoinKeyAndIds() {
		out.LookupKeyAndIds = append(out.LookupKeyAndIds, &membershippb.LookupKeyAndId{
			LookupKey:         &membershippb.LookupKey{Key: lookup.Fingerprint(e.GetJoinKey().GetKey(), pepper)},
			JoinKeyIdentifier: e.GetJoinKeyIdentifier(),
		})
	}
	return marshal("lookup-keys", out)
}

func marshal(label string, m proto.Message) (blobs, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("serialize %s: %w", label, err)
	}
	return blobs{label: b}, nil
}

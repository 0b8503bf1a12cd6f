package workflow

import (
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Content is what a blob holds. It decides what may be fed into what. The
// names are those of the messages, where there is one.
type Content string

// The contents.
const (
	// Anything is content that the step does not look at, or that nobody can know beforehand.
	Anything Content = ""
	// RawBytes are keys and peppers: bytes without structure.
	RawBytes                   Content = "raw bytes"
	CertificateName            Content = "certificate name"
	PublicKeyset               Content = "public Tink keyset"
	PrivateKeyset              Content = "private Tink keyset"
	HybridCiphertext           Content = "hybrid ciphertext"
	RlwePublicKey              Content = "private_membership.batch.PublicKey"
	RlwePrivateKey             Content = "private_membership.batch.PrivateKey"
	JoinKeys                   Content = "JoinKeyCollection"
	JoinKeysAndIDs             Content = "JoinKeyAndIdCollection"
	JoinKeyIdentifiers         Content = "JoinKeyIdentifierCollection"
	LookupKeysAndIDs           Content = "LookupKeyAndIdCollection"
	PaddingNonces              Content = "PaddingNonces"
	CompressionParameters      Content = "CompressionParameters"
	BigQueryStatus             Content = "BigQueryStreamingStatus"
	QueryBundles               Content = "records of EncryptedQueryBundle"
	QueryIDs                   Content = "records of QueryIdAndId"
	QueryResults               Content = "records of EncryptedQueryResult"
	EventDatabase              Content = "records of DatabaseEntry"
	UnprocessedEvents          Content = "records of UnprocessedEvent"
	EncryptedEvents            Content = "records of EncryptedMatchedEvent"
	KeyedDecryptedEventDataSet Content = "records of KeyedDecryptedEventDataSet"
)

// Exposure says what it means if a blob leaves its owner's private storage.
type Exposure int

// The exposures.
const (
	// Shareable blobs are made to be shared, or harmless.
	Shareable Exposure = iota
	// Sensitive blobs tell the partner, or who reads shared storage, what the protocol would hide.
	Sensitive
	// Secret blobs are keys that protect everything else.
	Secret
)

// Label is one input or output of a step type.
type Label struct {
	// Key is what the step type calls the blob: the key in Step.Inputs or Step.Outputs. Empty means that any key will do.
	Key string
	// Content is what the blob must hold, or will.
	Content Content
	// Sharded blobs are manifests: the label's blob names shards, which hold the records.
	Sharded bool
	// Optional labels may be left out.
	Optional bool
	// Exposure matters for outputs.
	Exposure Exposure
}

// InputRule says which labels a step type takes besides those that it reads.
type InputRule int

// The input rules.
const (
	// ExtraInputsWait: further inputs are not read, but the step waits until their blobs exist.
	ExtraInputsWait InputRule = iota
	// NoInputs: input labels must be empty.
	NoInputs
	// OneInput: exactly one input, under any key.
	OneInput
	// OneInputAndCertificate: exactly one input under any key, and optionally certificate-resource-name.
	OneInputAndCertificate
)

// Work says how a step type does its work, which decides what it may hold in
// memory and who reads its inputs.
type Work string

// The ways of working.
const (
	// InMemory: all inputs and outputs are read and written whole.
	InMemory Work = "in memory"
	// Producer: there are no inputs; the output is made up.
	Producer Work = "producer"
	// Waits: nothing is done but wait for a blob.
	Waits Work = "waits"
	// OwnIO: the step moves blobs itself.
	OwnIO Work = "own I/O"
	// Pipeline: records are processed shard by shard.
	Pipeline Work = "pipeline"
	// BigQuery: the step talks to BigQuery.
	BigQuery Work = "BigQuery"
)

// CertificateLabel is the input key by which a CopyToSharedStorage step waits
// for the party's certificate.
const CertificateLabel = "certificate-resource-name"

// Spec is a row of the step table: what a step type takes and gives.
type Spec struct {
	Kind Kind
	// AuthorizedView tells the two forms of PreprocessEvents apart.
	AuthorizedView bool
	// Party is who usually runs it; empty means either.
	Party  manifest.Party
	Inputs []Label
	Rule   InputRule
	// Outputs are all outputs there are: no others will ever be written.
	Outputs []Label
	Work    Work
}

// SpecOf returns the row of the step table for s. The zero Spec means that
// there is no such step type, which can't be in a Workflow.
func SpecOf(s Step) Spec {
	for _, spec := range Specs() {
		if spec.Kind == s.Kind && spec.AuthorizedView == s.AuthorizedView {
			return spec
		}
	}
	return Spec{}
}

// Input returns the label of the given key among the inputs.
func (s Spec) Input(key string) (Label, bool) { return find(s.Inputs, key) }

// Output returns the label of the given key among the outputs.
func (s Spec) Output(key string) (Label, bool) { return find(s.Outputs, key) }

func find(labels []Label, key string) (Label, bool) {
	for _, l := range labels {
		if l.Key == key || l.Key == "" {
			return l, true
		}
	}
	return Label{}, false
}

// Specs returns the step table: one row per step type, two for
// PreprocessEvents.
func Specs() []Spec {
	const mp, dp = manifest.ModelProvider, manifest.DataProvider
	return []Spec{
		{Kind: CopyFromSharedStorage, Rule: OneInput, Inputs: []Label{{}}, Outputs: []Label{{}}, Work: OwnIO},
		{Kind: CopyToSharedStorage, Rule: OneInputAndCertificate, Inputs: []Label{{}}, Outputs: []Label{{}}, Work: OwnIO},
		{
			Kind: IntersectAndValidate, Party: dp, Work: InMemory,
			Inputs:  []Label{{Key: "current-data", Content: JoinKeysAndIDs}, {Key: "previous-data", Content: JoinKeysAndIDs}},
			Outputs: []Label{{Key: "current-data", Content: JoinKeysAndIDs}},
		},
		{
			Kind: CommutativeDeterministicEncrypt, Party: mp, Work: InMemory,
			Inputs:  []Label{{Key: "encryption-key", Content: RawBytes}, {Key: "unencrypted-data", Content: JoinKeysAndIDs}},
			Outputs: []Label{{Key: "encrypted-data", Content: JoinKeysAndIDs}},
		},
		{
			Kind: CommutativeDeterministicReEncrypt, Party: dp, Work: InMemory,
			Inputs:  []Label{{Key: "encryption-key", Content: RawBytes}, {Key: "encrypted-data", Content: JoinKeysAndIDs}},
			Outputs: []Label{{Key: "reencrypted-data", Content: JoinKeysAndIDs}},
		},
		{
			Kind: CommutativeDeterministicDecrypt, Party: mp, Work: InMemory,
			Inputs:  []Label{{Key: "encryption-key", Content: RawBytes}, {Key: "encrypted-data", Content: JoinKeysAndIDs}},
			Outputs: []Label{{Key: "decrypted-data", Content: JoinKeysAndIDs, Exposure: Sensitive}},
		},
		{Kind: Input, Rule: NoInputs, Outputs: []Label{{}}, Work: Waits},
		{
			Kind: GenerateCommutativeDeterministicKey, Rule: NoInputs, Work: Producer,
			Outputs: []Label{{Key: "symmetric-key", Content: RawBytes, Exposure: Secret}},
		},
		{
			Kind: GenerateSerializedRlweKeyPair, Party: mp, Work: InMemory,
			Outputs: []Label{{Key: "public-key", Content: RlwePublicKey}, {Key: "private-key", Content: RlwePrivateKey, Exposure: Secret}},
		},
		{
			Kind: ExecutePrivateMembershipQueries, Party: dp, Work: Pipeline,
			Inputs: []Label{
				{Key: "encrypted-event-data", Content: EventDatabase, Sharded: true},
				{Key: "encrypted-queries", Content: QueryBundles, Sharded: true},
				{Key: "serialized-rlwe-public-key", Content: RlwePublicKey},
			},
			Outputs: []Label{
				{Key: "encrypted-results", Content: QueryResults, Sharded: true},
				{Key: "padding-nonces", Content: PaddingNonces, Exposure: Sensitive},
			},
		},
		{
			Kind: BuildPrivateMembershipQueries, Party: mp, Work: Pipeline,
			Inputs: []Label{
				{Key: "lookup-keys", Content: LookupKeysAndIDs},
				{Key: "serialized-rlwe-public-key", Content: RlwePublicKey},
				{Key: "serialized-rlwe-private-key", Content: RlwePrivateKey},
			},
			Outputs: []Label{
				{Key: "encrypted-queries", Content: QueryBundles, Sharded: true},
				{Key: "query-to-ids-map", Content: QueryIDs, Sharded: true, Exposure: Sensitive},
				{Key: "discarded-join-keys", Content: JoinKeyIdentifiers, Optional: true},
			},
		},
		{
			Kind: DecryptPrivateMembershipQueryResults, Party: mp, Work: Pipeline,
			Inputs: []Label{
				{Key: "encrypted-results", Content: QueryResults, Sharded: true},
				{Key: "query-to-ids-map", Content: QueryIDs, Sharded: true},
				{Key: "plaintext-join-keys-to-id-map", Content: JoinKeysAndIDs},
				{Key: "decrypted-join-keys-to-id-map", Content: JoinKeysAndIDs},
				{Key: "compression-parameters", Content: CompressionParameters},
				{Key: "pepper", Content: RawBytes},
				{Key: "serialized-rlwe-public-key", Content: RlwePublicKey},
				{Key: "serialized-rlwe-private-key", Content: RlwePrivateKey},
				{Key: "discarded-join-keys", Content: JoinKeyIdentifiers, Optional: true},
			},
			Outputs: []Label{{Key: "decrypted-event-data", Content: KeyedDecryptedEventDataSet, Sharded: true, Exposure: Sensitive}},
		},
		{
			Kind: GenerateCertificate, Rule: NoInputs, Work: Producer,
			Outputs: []Label{{Key: CertificateLabel, Content: CertificateName}},
		},
		{
			Kind: PreprocessEvents, Party: dp, Work: Pipeline,
			Inputs: []Label{
				{Key: "unprocessed-event-data", Content: UnprocessedEvents, Sharded: true},
				{Key: "encryption-key", Content: RawBytes},
				{Key: "hkdf-pepper", Content: RawBytes},
				{Key: "identifier-pepper", Content: RawBytes},
				{Key: "compression-parameters", Content: CompressionParameters},
			},
			Outputs: []Label{{Key: "preprocessed-event-data", Content: EventDatabase, Sharded: true}},
		},
		{
			Kind: PreprocessEvents, AuthorizedView: true, Party: dp, Work: InMemory,
			Inputs:  []Label{{Key: "encryption-key", Content: RawBytes}, {Key: "raw-events", Content: UnprocessedEvents}},
			Outputs: []Label{{Key: "encrypted-events", Content: EncryptedEvents}},
		},
		{Kind: CopyFromPreviousExchange, Party: dp, Work: Waits, Inputs: []Label{{Key: "input"}}, Outputs: []Label{{Key: "output"}}},
		{
			Kind: GenerateLookupKeys, Party: mp, Work: InMemory,
			Inputs:  []Label{{Key: "join-keys", Content: JoinKeysAndIDs}, {Key: "pepper", Content: RawBytes}},
			Outputs: []Label{{Key: "lookup-keys", Content: LookupKeysAndIDs, Exposure: Sensitive}},
		},
		{
			Kind: HybridEncrypt, Party: dp, Work: InMemory,
			Inputs:  []Label{{Key: "public-key-handle", Content: PublicKeyset}, {Key: "plaintext-data"}},
			Outputs: []Label{{Key: "encrypted-data", Content: HybridCiphertext}},
		},
		{
			Kind: HybridDecrypt, Party: mp, Work: InMemory,
			Inputs:  []Label{{Key: "private-key-handle", Content: PrivateKeyset}, {Key: "encrypted-data", Content: HybridCiphertext}},
			Outputs: []Label{{Key: "decrypted-data", Exposure: Sensitive}},
		},
		{
			Kind: GenerateHybridEncryptionKeyPair, Party: mp, Work: InMemory,
			Outputs: []Label{{Key: "public-key-handle", Content: PublicKeyset}, {Key: "private-key-handle", Content: PrivateKeyset, Exposure: Secret}},
		},
		{
			Kind: GenerateRandomBytes, Party: dp, Rule: NoInputs, Work: Producer,
			Outputs: []Label{{Key: "random-bytes", Content: RawBytes, Exposure: Sensitive}},
		},
		{
			Kind: AssignJoinKeyIDs, Party: mp, Work: InMemory,
			Inputs:  []Label{{Key: "join-keys", Content: JoinKeys}},
			Outputs: []Label{{Key: "shuffled-join-key-and-ids", Content: JoinKeysAndIDs, Exposure: Sensitive}},
		},
		{
			Kind: ReadEncryptedEventsFromBigQuery, Party: mp, Work: BigQuery,
			Outputs: []Label{{Key: "encrypted-events", Content: EncryptedEvents}},
		},
		{
			Kind: DecryptAndMatchEvents, Party: mp, Work: InMemory,
			Inputs: []Label{
				{Key: "encrypted-events", Content: EncryptedEvents},
				{Key: "plaintext-join-keys", Content: JoinKeysAndIDs},
				{Key: "edp-encrypted-keys", Content: JoinKeysAndIDs},
			},
			Outputs: []Label{{Key: "decrypted-event-data", Content: KeyedDecryptedEventDataSet, Exposure: Sensitive}},
		},
		{
			Kind: WriteKeysToBigQuery, Party: mp, Work: BigQuery,
			Inputs:  []Label{{Key: "input", Content: JoinKeysAndIDs}},
			Outputs: []Label{{Key: "status", Content: BigQueryStatus}},
		},
		{
			Kind: WriteEventsToBigQuery, Party: dp, Work: BigQuery,
			Inputs:  []Label{{Key: "input", Content: EncryptedEvents}},
			Outputs: []Label{{Key: "status", Content: BigQueryStatus}},
		},
	}
}

package manifest

import (
	"fmt"
	"log/slog"
	"time"

	"cuelang.org/go/cue"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// Manifest is a deployment as its layers add up to, validated, with defaults
// filled in. Everything is decoded but backends: a Backend stays a located CUE
// value, which its provider decodes.
//
// A Manifest is read-only after Load and safe for concurrent use.
type Manifest struct {
	APIVersion string  `json:"apiVersion"`
	Kind       string  `json:"kind"`
	Profile    Profile `json:"profile"`
	Identity   Identity

	// Coordinator is the backend that says which step may run next: kingdom, checkpoint or custom.
	Coordinator Backend
	// Root is storage.root. A use case that is named nowhere lives in its sub-directory of it.
	Root Storage
	// UseCases holds the use cases that have a storage of their own (storage.privateKeys and its siblings).
	UseCases map[UseCase]Storage
	// SecretMaps holds the use cases that are no blobs; never a key that UseCases has.
	SecretMaps map[UseCase]Backend
	// KeyProtection says how private keys are protected where they are stored.
	KeyProtection KeyProtection

	CertificateAuthority CertificateAuthority

	ExchangeDefaults ExchangeStorage
	// Exchanges is keyed by recurring exchange id.
	Exchanges map[string]ExchangeStorage

	Run           Run
	Compute       Backend
	Preprocessing Preprocessing
	Keys          Keys
	Limits        Limits
	Trust         Trust
	Telemetry     Telemetry

	// At returns the place of the setting at path in the user's files, or of the nearest setting above
	// it that the user wrote. Nil means that no place is known; Pos asks it safely.
	At func(path ...string) diag.Position `json:"-"`
}

// Pos returns the place of the setting at path, or the zero Position.
func (m *Manifest) Pos(path ...string) diag.Position {
	if m.At == nil {
		return diag.Position{}
	}
	return m.At(path...)
}

// Profile is how strict a deployment is.
type Profile string

// The profiles. Development permits local:// keys and the like.
const (
	Production  Profile = "production"
	Development Profile = "development"
)

// Party is one of the two roles in an exchange.
type Party string

// The parties, spelled as the wire's enum values are.
const (
	ModelProvider Party = "MODEL_PROVIDER"
	DataProvider  Party = "DATA_PROVIDER"
)

// Other returns the partner's role.
func (p Party) Other() Party {
	if p == ModelProvider {
		return DataProvider
	}
	return ModelProvider
}

// Identity names the party that runs this deployment.
type Identity struct {
	Party Party `json:"party"`
	// ID is the bare id; a resource name such as dataProviders/abc is accepted in a manifest and cut to abc.
	ID string `json:"id"`
}

// ResourceName returns dataProviders/<id> or modelProviders/<id>.
func (i Identity) ResourceName() string {
	if i.Party == ModelProvider {
		return "modelProviders/" + i.ID
	}
	return "dataProviders/" + i.ID
}

// UseCase names one of the maps that a party keeps in its root storage. The
// string is the manifest's key.
type UseCase string

// The use cases, with what each map holds.
const (
	PrivateKeys            UseCase = "privateKeys"            // exchange path → signing key, protected
	RootCertificates       UseCase = "rootCertificates"       // party → root certificate, DER
	ValidExchangeWorkflows UseCase = "validExchangeWorkflows" // recurring exchange → workflow, exact bytes
	PrivateStorageInfo     UseCase = "privateStorageInfo"     // recurring exchange → StorageDetails
	SharedStorageInfo      UseCase = "sharedStorageInfo"      // recurring exchange → StorageDetails
)

// UseCases lists all use cases in the order in which people see them.
func UseCases() []UseCase {
	return []UseCase{PrivateKeys, RootCertificates, ValidExchangeWorkflows, PrivateStorageInfo, SharedStorageInfo}
}

// Directory returns the sub-directory of root storage in which the reference keeps the use case.
func (u UseCase) Directory() string {
	switch u {
	case PrivateKeys:
		return "private-keys"
	case RootCertificates:
		return "root-x509-certificates"
	case ValidExchangeWorkflows:
		return "valid-exchange-workflows"
	case PrivateStorageInfo:
		return "private-storage-info"
	case SharedStorageInfo:
		return "shared-storage-info"
	}
	return ""
}

// Storage is one place for blobs: a URL with what opens it, or a backend of
// the deployer's own. The zero Storage means that none is given.
type Storage struct {
	Backend
	// URL is the blob URL; empty for a custom backend. Relative file URLs are already absolute.
	URL string
}

// KeyProtection is exactly one of the two.
type KeyProtection struct {
	// KMS wraps private keys. Its Backend.Name is the key URI's scheme, or custom.
	KMS KMS
	// StorageReason is set instead if the storage itself protects the keys; it is the deployer's reason.
	StorageReason string
}

// KMS is one key of a key management service. The zero KMS means that none is given.
type KMS struct {
	Backend
	// URI is the key URI such as gcp-kms://projects/...; empty for a custom backend.
	URI string
}

// CertificateAuthority is the one that signs this party's exchange certificates.
type CertificateAuthority struct {
	// Backend is the one that the manifest names; Backend.Name is its key, such as vaultPKI.
	Backend  Backend
	Subject  Subject
	Validity Duration
}

// Subject is what an exchange certificate says about its owner.
type Subject struct {
	CommonName   string `json:"commonName"`
	Organization string `json:"organization"`
	DNSName      string `json:"dnsName"`
}

// ExchangeStorage is where the blobs of an exchange lie, and what `panelmatch apply` puts there.
// Everything may be absent (zero). Paths are absolute.
type ExchangeStorage struct {
	Private Storage
	Shared  Storage
	// Workflow is the file of the workflow that both parties agreed on.
	Workflow string
	// PartnerRoot is the file of the partner's root certificate, PEM or DER.
	PartnerRoot string
	// Inputs are files for the workflow's input steps.
	Inputs []Input
}

// Input is one file for an input step.
type Input struct {
	// Label is the blob's label in the workflow.
	Label string `json:"label"`
	// Path is the file; {date} in it stands for the exchange's date.
	Path string `json:"path"`
	// Date is the exchange's date (2026-01-31) that the file is for; empty for every date.
	Date string `json:"date"`
}

// RunMode says when the daemon ends.
type RunMode string

// The run modes.
const (
	Daemon  RunMode = "DAEMON"   // never
	CronJob RunMode = "CRON_JOB" // as soon as nothing can be claimed and nothing runs
)

// Run is how the daemon runs exchanges.
type Run struct {
	Mode             RunMode  `json:"mode"`
	PollInterval     Duration `json:"pollInterval"`
	InputInterval    Duration `json:"inputInterval"`
	TaskTimeout      Duration `json:"taskTimeout"`
	MaxParallelSteps int      `json:"maxParallelSteps"`
	ShutdownGrace    Duration `json:"shutdownGrace"`
	Retry            Retry    `json:"retry"`
}

// Retry is the budget for a step that fails in a way that may pass.
type Retry struct {
	MaxAttempts int      `json:"maxAttempts"`
	Initial     Duration `json:"initial"`
	Max         Duration `json:"max"`
	Multiplier  float64  `json:"multiplier"`
	// PermanentFailures says what is done with an error that no retry mends.
	PermanentFailures string `json:"permanentFailures"`
}

// Preprocessing is how an EDP's events are cut into shards.
type Preprocessing struct {
	MaxByteSize ByteSize `json:"maxByteSize"`
	// FileCount is the number of shards; 0 lets it follow the size of the data.
	FileCount int `json:"fileCount"`
}

// Keys is about the keys of exchange certificates.
type Keys struct {
	// Algorithm is EC or RSA.
	Algorithm string `json:"algorithm"`
	// Curve is P-256 or P-384, for EC.
	Curve string `json:"curve"`
	// Bits is the modulus length for RSA.
	Bits int `json:"bits"`
	// Fallback is the key in the privateKeys map that is used where an exchange made none; empty for none.
	Fallback string `json:"fallback"`
	// Format is how a protected key is stored: direct (the reference's) or envelope.
	Format string `json:"format"`
}

// Limits bounds what is read from elsewhere.
type Limits struct {
	SharedBlob   ByteSize `json:"sharedBlob"`
	PrivateBlob  ByteSize `json:"privateBlob"`
	Decompressed ByteSize `json:"decompressed"`
}

// Trust is how far the partner's certificates and blobs are trusted.
type Trust struct {
	// Allow lists relaxations by name.
	Allow      []string `json:"allow"`
	DateLeeway Duration `json:"dateLeeway"`
}

// Telemetry is logs, metrics, traces and probes.
type Telemetry struct {
	LogLevel  string    `json:"logLevel"`
	LogFormat string    `json:"logFormat"`
	Listen    string    `json:"listen"`
	Traces    Traces    `json:"traces"`
	Profiling Profiling `json:"profiling"`
}

// Traces is where spans go; an empty Endpoint sends none.
type Traces struct {
	Endpoint string  `json:"endpoint"`
	Ratio    float64 `json:"ratio"`
}

// Profiling is the pprof listener, on loopback only; empty for none.
type Profiling struct {
	Listen string `json:"listen"`
}

// Duration is a time.Duration that a manifest spells as 90s, 1m or 23h30m.
type Duration time.Duration

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns the standard library's spelling.
func (d Duration) String() string { return time.Duration(d).String() }

// ByteSize is a number of bytes that a manifest spells as 64MiB, 1MB or 512.
type ByteSize int64

// Backend is one configured provider as the manifest has it: its name, its
// settings as a CUE value with defaults filled (closed and concrete), and where
// each setting stands. The zero Backend means that none is given.
//
// Values of one load share one cue.Context; they are safe for concurrent reads.
type Backend struct {
	// Name is the backend's key in its one-of (vaultPKI), or the scheme of its URL (gs), or "custom".
	Name string
	// Path is the setting's path in the manifest, as a user writes it.
	Path string
	// Value holds the settings.
	Value cue.Value
	// At returns the place of a setting below the backend in the user's files; for a default, the
	// place of the backend itself. Without arguments: the place of the backend. Nil means unknown.
	At func(path ...string) diag.Position
	// Dir is the directory against which relative paths in the settings resolve.
	Dir func(path ...string) string
}

// IsZero reports whether no backend is given.
func (b Backend) IsZero() bool { return b.Name == "" }

// Pos returns the place of the backend, or the zero Position.
func (b Backend) Pos() diag.Position {
	if b.At == nil {
		return diag.Position{}
	}
	return b.At()
}

// SecretRef is a reference to a secret: file:///abs, file:rel or env:NAME. It
// never holds the secret itself. The zero SecretRef means that none is given.
type SecretRef struct{ ref string }

// NewSecretRef makes a reference from its manifest form without resolving it.
func NewSecretRef(ref string) SecretRef { return SecretRef{ref} }

// IsZero reports whether no reference is given.
func (s SecretRef) IsZero() bool { return s.ref == "" }

// Ref returns the reference as the manifest has it. It is safe to print.
func (s SecretRef) Ref() string { return s.ref }

// UnmarshalText takes the manifest's form.
func (s *SecretRef) UnmarshalText(b []byte) error {
	s.ref = string(b)
	return nil
}

// Secret is a secret in memory. It prints as [redacted] with every verb, and
// can't be marshalled into text.
type Secret struct{ b []byte }

// NewSecret wraps b, which the Secret then owns.
func NewSecret(b []byte) Secret { return Secret{b} }

// Reveal returns the secret's bytes. The caller must not print, log or keep them longer than needed.
func (s Secret) Reveal() []byte { return s.b }

// String returns [redacted].
func (Secret) String() string { return "[redacted]" }

// GoString returns [redacted].
func (Secret) GoString() string { return "[redacted]" }

// Format writes [redacted] for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// MarshalText writes [redacted].
func (Secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// LogValue returns [redacted], for slog.
func (Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

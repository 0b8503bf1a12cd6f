package blob

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// The names below are the reference's; those of shared storage are part of the
// protocol between the parties.
const (
	signatureSuffix  = ".signature"
	doneDirectory    = "done-tasks/"
	checkpointsDir   = "checkpoints/"
	certificatesDir  = "certificates/"
	edpCheckpoint    = checkpointsDir + "edp-checkpoint"
	mpCheckpoint     = checkpointsDir + "mp-checkpoint"
	recurringSegment = "recurringExchanges"
	exchangesSegment = "exchanges"
)

// ExchangeKey names one exchange. It is comparable, and fit for a map key.
type ExchangeKey struct {
	// RecurringExchange is the bare id, opaque, one path segment.
	RecurringExchange string
	Date              workflow.Date
}

// NewExchangeKey makes a key of checked parts.
func NewExchangeKey(recurringExchange string, date workflow.Date) (ExchangeKey, error) {
	k := ExchangeKey{recurringExchange, date}
	return k, k.Validate()
}

// ParseExchangeKey reads what Path writes, and nothing else.
func ParseExchangeKey(path string) (ExchangeKey, error) {
	parts := strings.Split(path, "/")
	if len(parts) != 4 || parts[0] != recurringSegment || parts[2] != exchangesSegment {
		return ExchangeKey{}, fmt.Errorf("%q is not an exchange such as recurringExchanges/<id>/exchanges/2024-01-31", clip(path))
	}
	date, err := workflow.ParseDate(parts[3])
	if err != nil {
		return ExchangeKey{}, fmt.Errorf("exchange %q: %w", clip(path), err)
	}
	return NewExchangeKey(parts[1], date)
}

// Validate reports whether k can be part of a blob key.
func (k ExchangeKey) Validate() error {
	if err := checkSegment(k.RecurringExchange); err != nil {
		return fmt.Errorf("recurring exchange id %q %w", clip(k.RecurringExchange), err)
	}
	if !k.Date.IsValid() {
		return fmt.Errorf("recurring exchange %q: %s is no day of the calendar", k.RecurringExchange, k.Date)
	}
	return nil
}

// Path returns recurringExchanges/<id>/exchanges/<YYYY-MM-DD>: the prefix of
// the exchange's blobs in private and in shared storage, and its key in the map
// of private keys.
func (k ExchangeKey) Path() string {
	return recurringSegment + "/" + k.RecurringExchange + "/" + exchangesSegment + "/" + k.Date.String()
}

// String returns Path.
func (k ExchangeKey) String() string { return k.Path() }

// Compare orders by id, then by date.
func (k ExchangeKey) Compare(other ExchangeKey) int {
	return cmp.Or(strings.Compare(k.RecurringExchange, other.RecurringExchange), k.Date.Compare(other.Date))
}

// RecurringExchangePrefix returns what all keys of a recurring exchange begin
// with: recurringExchanges/<id>/exchanges/. The date follows.
func RecurringExchangePrefix(recurringExchange string) (string, error) {
	if err := checkSegment(recurringExchange); err != nil {
		return "", fmt.Errorf("recurring exchange id %q %w", clip(recurringExchange), err)
	}
	return recurringSegment + "/" + recurringExchange + "/" + exchangesSegment + "/", nil
}

// SignatureKey returns where the signature of the blob key lies, in shared and
// in private storage alike.
func SignatureKey(key string) string { return key + signatureSuffix }

// DoneKey returns the key, in private storage, of the empty blob which says that a step has been done.
func DoneKey(stepID string) string { return doneDirectory + stepID }

// CheckpointKey returns the key of a party's checkpoint in shared storage.
func CheckpointKey(party manifest.Party) string {
	if party == manifest.ModelProvider {
		return mpCheckpoint
	}
	return edpCheckpoint
}

// CertificateKey returns the key of a certificate in shared storage. The name
// is <owner>:<uuid>, see ParseCertificateName.
func CertificateKey(name string) (string, error) {
	if _, _, err := ParseCertificateName(name); err != nil {
		return "", err
	}
	return certificatesDir + name, nil
}

// ParseCertificateName cuts <owner>:<uuid> at the last colon. Both parts are
// there, and neither leads out of its place in a key.
func ParseCertificateName(name string) (owner, id string, err error) {
	i := strings.LastIndexByte(name, ':')
	if i <= 0 || i == len(name)-1 {
		return "", "", fmt.Errorf("certificate name %q is not <owner id>:<uuid>", clip(name))
	}
	if err := checkSegment(name); err != nil {
		return "", "", fmt.Errorf("certificate name %q %w", clip(name), err)
	}
	return name[:i], name[i+1:], nil
}

// UseCaseKey returns the key in root storage of an entry of a use case's map:
// <directory>/<name>. The name may have slashes (dataProviders/abc).
func UseCaseKey(use manifest.UseCase, name string) (string, error) {
	dir := use.Directory()
	if dir == "" {
		return "", fmt.Errorf("%q is not a use case of root storage", clip(string(use)))
	}
	key := dir + "/" + name
	if err := CheckKey(key); err != nil {
		return "", err
	}
	return key, nil
}

// PrivateKeyAssociatedData returns what the reference binds a KMS ciphertext
// of the private-keys map to: the UTF-8 bytes of private-keys/<name>.
func PrivateKeyAssociatedData(name string) []byte {
	return []byte(manifest.PrivateKeys.Directory() + "/" + name)
}

// Package local is key management without a key management service: a Tink
// keyset in a file. Whoever reads the file can open every private key, so it is
// for development only.
//
// The file is a cleartext Tink keyset in JSON, as `tinkey` writes it, of any
// AEAD; one that is made here has a single AES256-GCM key. Associated data is
// authenticated.
package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/providers/internal/keyfile"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Config is what an operator writes.
type Config struct {
	// URI is local:///abs/keyset.json, or local:rel/keyset.json relative to the file that names it. With
	// ?create=true a missing keyset is made when the provider opens.
	URI string `json:"uri"`
}

// Factory returns the provider "local".
func Factory() provider.Factory[provider.KMS] {
	return provider.Factory[provider.KMS]{
		Name:    "local",
		Package: "kms/local",
		Summary: "a Tink keyset in a file, for development only",
		Resolve: resolve,
	}
}

func resolve(b manifest.Backend, scope provider.Scope) (provider.Resolved[provider.KMS], diag.List) {
	var c Config
	diags := b.Decode(&c)
	if diags.HasErrors() {
		return provider.Resolved[provider.KMS]{}, diags
	}
	if scope.Manifest().Profile != manifest.Development {
		d := b.Fault(diag.CodeRule, "a key in a local file protects nothing in production")
		d.Hint = "use a key management service such as gcp-kms:// or aws-kms://, or set profile: development"
		diags = append(diags, d)
	}
	place, err := parseURI(c.URI)
	if err != nil {
		d := b.Fault(diag.CodeValue, err.Error(), "uri")
		d.Hint = "for example local:///var/lib/panelmatch/keyset.json?create=true"
		diags = append(diags, d)
	}
	return provider.Resolved[provider.KMS]{
		Attributes: []provider.Attribute{
			{Key: "path", Value: place.file},
			{Key: "create", Value: strconv.FormatBool(place.create)},
		},
		Open: func(ctx context.Context, env provider.Env) (provider.KMS, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			k, made, err := open(place)
			if made && env.Log != nil {
				env.Log.Warn("made a keyset that is not protected by anything but the mode of its file", "path", place.file)
			}
			if err != nil {
				return nil, err
			}
			return k, nil
		},
	}, diags
}

// place is a parsed URI.
type place struct {
	file   string
	create bool
}

func parseURI(raw string) (place, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "local" {
		return place{}, errors.New("must be local:///path of a keyset file")
	}
	if u.Host != "" || u.User != nil || u.Fragment != "" {
		return place{}, errors.New("must be local:///path of a keyset file, without host, user or fragment")
	}
	if u.Opaque != "" || !filepath.IsAbs(u.Path) || filepath.Clean(u.Path) == string(filepath.Separator) {
		return place{}, errors.New("must name a keyset file by its absolute path")
	}
	p := place{file: filepath.Clean(u.Path)}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return place{}, errors.New("has a query that is not of the form create=true")
	}
	for key, values := range query {
		if key != "create" || len(values) != 1 {
			return place{}, errors.New("takes no parameter but create=true, once")
		}
		if p.create, err = strconv.ParseBool(values[0]); err != nil {
			return place{}, errors.New("has a parameter create that is neither true nor false")
		}
	}
	return p, nil
}

// kms is a provider.KMS.
type kms struct {
	aead   tink.AEAD
	file   string
	closed atomic.Bool
}

var _ tink.AEADWithContext = provider.KMS(nil)

// open reads the keyset, or makes it. made reports whether it did.
func open(p place) (k *kms, made bool, err error) {
	data, err := keyfile.Read(p.file)
	if errors.Is(err, fs.ErrNotExist) {
		if !p.create {
			return nil, false, fmt.Errorf("keyset %s: %w; add ?create=true to have one made", p.file, provider.ErrNotFound)
		}
		if made, err = create(p.file); err != nil {
			return nil, false, fmt.Errorf("make keyset %s: %w", p.file, err)
		}
		data, err = keyfile.Read(p.file)
	}
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: %w", provider.ErrPermission, err)
		}
		return nil, made, fmt.Errorf("keyset: %w", err)
	}
	a, err := parseKeyset(data)
	if err != nil {
		return nil, made, fmt.Errorf("keyset %s: %w", p.file, err)
	}
	return &kms{aead: a, file: p.file}, made, nil
}

// create makes a keyset unless another process has done so in the meantime.
func create(file string) (made bool, err error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return false, err
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b)); err != nil {
		return false, err
	}
	switch err := keyfile.Create(file, b.Bytes()); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

// errKeyset stands for all that may be wrong with a keyset: the library's own texts may quote it.
var errKeyset = errors.New("is not a cleartext Tink keyset in JSON with an AEAD key; make one with ?create=true or tinkey create-keyset --key-template AES256_GCM")

func parseKeyset(data []byte) (tink.AEAD, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		return nil, errKeyset
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, errKeyset
	}
	return a, nil
}

func (k *kms) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if err := k.ready(ctx); err != nil {
		return nil, err
	}
	c, err := k.aead.Encrypt(plaintext, associatedData)
	if err != nil {
		return nil, fmt.Errorf("encrypt with keyset %s: %w", k.file, err)
	}
	return c, nil
}

func (k *kms) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if err := k.ready(ctx); err != nil {
		return nil, err
	}
	p, err := k.aead.Decrypt(ciphertext, associatedData)
	if err != nil {
		return nil, fmt.Errorf("decrypt with keyset %s: %w: sealed with another key or for another name, or damaged", k.file, provider.ErrRejected)
	}
	return p, nil
}

func (k *kms) ready(ctx context.Context) error {
	if k.closed.Load() {
		return fmt.Errorf("keyset %s is closed", k.file)
	}
	return ctx.Err()
}

// Close ends the use of the key. It may be called more than once.
func (k *kms) Close() error {
	k.closed.Store(true)
	return nil
}

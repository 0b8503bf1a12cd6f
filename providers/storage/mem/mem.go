// Package mem is storage in the memory of the process, for tests, demos and
// trying things out: mem://name.
//
// Buckets that one Factory opens under one name share their blobs, whatever
// graph they belong to, so that two parties in one process can have a shared
// storage. The blobs live as long as the Factory: closing a bucket does not
// lose them, the end of the process does. Buckets of different Factory values
// have nothing in common.
//
// It is no cache and no place for anything that must survive.
package mem

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"gocloud.dev/blob"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// New returns a bucket of its own, empty. Close only marks it as closed.
func New() *blob.Bucket { return blob.NewBucket(&bucket{space: newSpace()}) }

// Buckets is a set of named buckets. It is safe for concurrent use.
type Buckets struct {
	mu     sync.Mutex
	spaces map[string]*space
}

// Open returns the bucket of a name; all of one name have the same blobs.
func (b *Buckets) Open(name string) *blob.Bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.spaces[name]
	if !ok {
		s = newSpace()
		if b.spaces == nil {
			b.spaces = map[string]*space{}
		}
		b.spaces[name] = s
	}
	return blob.NewBucket(&bucket{space: s})
}

// settings is what a manifest says, by the schema's #StorageSpec.
type settings struct {
	URL string `json:"url"`
}

// Factory makes buckets for URLs of the form mem://name. Each call has names of its own.
func Factory() provider.Factory[provider.Storage] {
	buckets := &Buckets{}
	return provider.Factory[provider.Storage]{
		Name:    "mem",
		Package: "storage/mem",
		Summary: "the memory of this process; lost when it ends",
		Resolve: func(b manifest.Backend, _ provider.Scope) (provider.Resolved[provider.Storage], diag.List) {
			return resolve(b, buckets)
		},
	}
}

func resolve(b manifest.Backend, buckets *Buckets) (provider.Resolved[provider.Storage], diag.List) {
	var s settings
	diags := b.Decode(&s)
	if diags.HasErrors() {
		return provider.Resolved[provider.Storage]{}, diags
	}
	name, err := parseURL(s.URL)
	if err != nil {
		d := b.Fault(diag.CodeValue, err.Error(), "url")
		d.Hint = "such as mem://shared"
		return provider.Resolved[provider.Storage]{}, append(diags, d)
	}
	return provider.Resolved[provider.Storage]{
		Attributes: []provider.Attribute{{Key: "name", Value: name}},
		Open: func(context.Context, provider.Env) (provider.Storage, error) {
			return buckets.Open(name), nil
		},
	}, diags
}

// parseURL reads mem://name. The errors complete a sentence that begins with the setting.
func parseURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "", errors.New("is not a URL")
	case u.Scheme != "mem":
		return "", fmt.Errorf("is of the scheme %q, not mem", u.Scheme)
	case u.Host == "" || u.Opaque != "":
		return "", errors.New("has no name; write mem://name")
	case u.User != nil || u.Port() != "":
		return "", errors.New("has more than a name; write mem://name")
	case u.Path != "" || u.Fragment != "":
		return "", errors.New("has a path; that is what prefix is for")
	case u.RawQuery != "":
		return "", errors.New("has parameters; memory has none")
	}
	return u.Host, nil
}

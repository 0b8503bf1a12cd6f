package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"cuelang.org/go/cue"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// lookup returns the value at path below v.
func lookup(v cue.Value, path ...string) cue.Value {
	selectors := make([]cue.Selector, len(path))
	for i, p := range path {
		selectors[i] = cue.Str(p)
	}
	return v.LookupPath(cue.MakePath(selectors...))
}

// text returns the string at path below v, or "".
func text(v cue.Value, path ...string) string {
	if !v.Exists() {
		return ""
	}
	s, err := lookup(v, path...).String()
	if err != nil {
		return ""
	}
	return s
}

// ownName returns what the provider of b is called: the backend's name, or for a
// custom one the deployer's.
func ownName(b manifest.Backend) string {
	if own, ok := b.Custom(); ok {
		return own.Name
	}
	return b.Name
}

// kindWords is what people call a kind.
var kindWords = map[provider.Kind]string{
	provider.KindStorage:              "storage",
	provider.KindKMS:                  "key management service",
	provider.KindCertificateAuthority: "certificate authority",
	provider.KindSecretMap:            "secret map",
	provider.KindCoordinator:          "coordinator",
	provider.KindCompute:              "compute backend",
}

// notInBuild says that the schema knows a backend which this binary lacks.
func notInBuild(kind provider.Kind, b manifest.Backend, name string, has []string) diag.Diagnostic {
	has = slices.Sorted(slices.Values(has))
	word := kindWords[kind]
	list := strings.Join(has, ", ")
	if list == "" {
		list = "none"
	}
	var at []string
	if b.Name == "custom" {
		at = []string{"name"}
	}
	d := b.Fault(diag.CodeNotInBuild, fmt.Sprintf("this build has no %s %q; it has: %s", word, visible(name), list), at...)
	d.DidYouMean, _ = diag.Closest(name, has)
	d.Hint = "panelmatch providers lists what a build has; a build of your own can have more"
	return d
}

const providersFault = "this is a fault of the provider, not of the manifest"

// resolved is a backend that its factory has taken.
type resolved[T io.Closer] struct {
	provider.Resolved[T]
	name string
}

// resolveBackend finds the factory of b and lets it read the settings. It
// returns false, with the faults reported, if there is none or it refuses.
func resolveBackend[T io.Closer](r *resolver, kind provider.Kind, fs []provider.Factory[T], b manifest.Backend, sc provider.Scope) (resolved[T], bool) {
	given := b
	if own, ok := b.Custom(); ok {
		b = own
	}
	name := b.Name
	f, ok := provider.Find(fs, name)
	if !ok {
		has := make([]string, 0, len(fs)+1)
		for _, f := range fs {
			has = append(has, f.Name)
		}
		if kind == provider.KindCoordinator {
			has = append(has, checkpointName) // the engine's own
		}
		r.report(notInBuild(kind, given, name, has))
		return resolved[T]{name: name}, false
	}
	res, diags := f.Resolve(b, sc)
	r.report(diags...)
	if !diags.HasErrors() && res.Open == nil {
		d := b.Fault(diag.CodeGraph, fmt.Sprintf("the %s provider %q took the settings but gives no way to open it", kindWords[kind], visible(name)))
		d.Hint = providersFault
		r.report(d)
		return resolved[T]{name: name}, false
	}
	for i, a := range res.Attributes {
		res.Attributes[i] = provider.Attribute{Key: visible(a.Key), Value: maskText(a.Value)}
	}
	return resolved[T]{res, name}, !diags.HasErrors()
}

// opener adapts a factory's typed Open. A typed nil would pass for a value, so
// nothing but an error or a value gets through.
func opener[T io.Closer](open func(context.Context, provider.Env) (T, error)) Opener {
	return func(ctx context.Context, env provider.Env) (io.Closer, error) {
		v, err := open(ctx, env)
		if err != nil {
			return nil, err
		}
		return v, nil
	}
}

// canonicalKey returns a text that is equal for two backends of a kind if they
// have the same address and settings. It holds references to secrets, never
// secrets, and is not shown to anyone.
//
// A relative path means something else in another directory, so a string that
// might be one counts together with the directory that it is relative to.
func canonicalKey(kind provider.Kind, address string, b manifest.Backend, addressField string) string {
	var settings any
	if b.Value.Exists() && b.Value.IncompleteKind() == cue.StructKind {
		settings = canonicalValue(b, b.Value, nil, addressField)
	}
	// Maps marshal with their keys sorted. What CUE gives is data, which always marshals.
	data, err := json.Marshal([]any{kind, b.Name, address, settings})
	if err != nil {
		return fmt.Sprintf("%s %s", kind, b.Path)
	}
	return string(data)
}

func canonicalValue(b manifest.Backend, v cue.Value, path []string, skip string) any {
	switch v.IncompleteKind() {
	case cue.StructKind:
		fields, err := v.Fields()
		if err != nil {
			return b.Path
		}
		out := map[string]any{}
		for fields.Next() {
			name := fields.Selector().Unquoted()
			if len(path) == 0 && name == skip {
				continue
			}
			value := canonicalValue(b, fields.Value(), append(slices.Clone(path), name), "")
			if value != "" { // an option that is empty by default is as good as absent
				out[name] = value
			}
		}
		return out
	case cue.ListKind:
		items, err := v.List()
		if err != nil {
			return b.Path
		}
		out := []any{}
		for items.Next() {
			out = append(out, canonicalValue(b, items.Value(), path, ""))
		}
		return out
	case cue.StringKind:
		s, err := v.String()
		if err != nil {
			return b.Path
		}
		if b.Dir == nil || s == "" || filepath.IsAbs(s) || strings.Contains(s, "://") || strings.HasPrefix(s, "env:") {
			return s
		}
		return []string{s, b.Dir(path...)}
	default:
		data, err := v.MarshalJSON()
		if err != nil {
			return b.Path
		}
		return json.RawMessage(data)
	}
}

// Package csv is a secret map in a text file with one entry a line: the key, a
// comma, and the value in base64. The line is cut at its first comma, as in the
// reference, whose files it reads; a key has no comma and no newline.
//
// It is not for CSV in general: there are no quotes, no header and no comments.
// The file is read once, when the map is opened, and can't be written to.
package csv

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Bounds on a file. One beyond them is no secret map.
const (
	MaxFile    = 64 << 20
	MaxEntries = 1 << 20
	maxKey     = 4096
)

// Map is the entries of a file. It is safe for concurrent use.
type Map struct {
	values map[string][]byte
}

var _ provider.SecretMap = (*Map)(nil)

// Open reads a file.
func Open(path string) (*Map, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	m, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	var data []byte
	if err == nil {
		data, err = readBounded(path)
	}
	switch {
	case err == nil && len(data) > MaxFile:
		return nil, fmt.Errorf("%w: %s has more than %d bytes", provider.ErrTooLarge, path, MaxFile)
	case err == nil:
		return data, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: the file %s", provider.ErrNotFound, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: %w", provider.ErrPermission, err)
	}
	return nil, err
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	return io.ReadAll(io.LimitReader(f, MaxFile+1))
}

// Parse reads a file's text. Lines end with a newline, or a carriage return
// and a newline; empty ones are passed over. An error names the line, and never
// holds what is on it.
func Parse(text []byte) (*Map, error) {
	m := &Map{values: map[string][]byte{}}
	number := 0
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		number++
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			continue
		}
		if err := m.add(line); err != nil {
			return nil, fmt.Errorf("line %d %w", number, err)
		}
		if len(m.values) > MaxEntries {
			return nil, fmt.Errorf("%w: more than %d entries", provider.ErrTooLarge, MaxEntries)
		}
	}
	return m, nil
}

func (m *Map) add(line []byte) error {
	key, encoded, ok := bytes.Cut(line, []byte(","))
	switch {
	case !ok:
		return errors.New("has no comma; an entry is a key, a comma, and the value in base64")
	case len(key) == 0:
		return errors.New("has nothing before the comma")
	case len(key) > maxKey:
		return fmt.Errorf("has a key of more than %d bytes", maxKey)
	case !utf8.Valid(key):
		return errors.New("has a key that is not valid UTF-8")
	}
	if _, twice := m.values[string(key)]; twice {
		return errors.New("has a key that an earlier line has")
	}
	value := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Strict().Decode(value, encoded)
	if err != nil {
		return errors.New("has a value that is not base64 (the standard alphabet, with = at the end)")
	}
	m.values[string(key)] = value[:n:n]
	return nil
}

// Get implements provider.SecretMap.
func (m *Map) Get(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v, ok := m.values[key]
	if !ok {
		return nil, fmt.Errorf("%w: the file has no such key", provider.ErrNotFound)
	}
	return append([]byte{}, v...), nil
}

// Put implements provider.SecretMap: it fails with provider.ErrReadOnly.
func (m *Map) Put(context.Context, string, []byte) error {
	return fmt.Errorf("%w: a CSV file is not written to", provider.ErrReadOnly)
}

// List implements provider.SecretMap.
func (m *Map) List(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(m.values)), nil
}

// Close implements provider.SecretMap. There is nothing to close.
func (*Map) Close() error { return nil }

// settings is what a manifest says, by the schema's #CSVSecretMap.
type settings struct {
	Path string `json:"path"`
}

// Factory makes maps of {path: ...}.
func Factory() provider.Factory[provider.SecretMap] {
	return provider.Factory[provider.SecretMap]{
		Name:    "csv",
		Package: "secretmap/csv",
		Summary: "a text file with a key and a value in base64 on each line; read only",
		Resolve: resolve,
	}
}

func resolve(b manifest.Backend, _ provider.Scope) (provider.Resolved[provider.SecretMap], diag.List) {
	var s settings
	diags := b.Decode(&s)
	if !diags.HasErrors() && s.Path == "" {
		diags = append(diags, b.Fault(diag.CodeMissing, "names no file", "path"))
	}
	if diags.HasErrors() {
		return provider.Resolved[provider.SecretMap]{}, diags
	}
	path := b.Abs(s.Path, "path")
	return provider.Resolved[provider.SecretMap]{
		Attributes: []provider.Attribute{{Key: "path", Value: path}},
		Open: func(context.Context, provider.Env) (provider.SecretMap, error) {
			m, err := Open(path)
			if err != nil {
				return nil, err
			}
			return m, nil
		},
	}, diags
}

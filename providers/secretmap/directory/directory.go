// Package directory is a secret map in a directory of files, such as a Secret
// or ConfigMap that Kubernetes mounts: one file per key.
//
// The file's name is the key, with two dots for each slash: the key
// dataProviders/abc is the file dataProviders..abc, a name that Kubernetes takes
// as the key of a Secret. See FileName for the few keys that have no file. Names
// that begin with a dot, such as Kubernetes' ..data, are no entries, and
// neither are subdirectories.
//
// Every Get reads the file anew, so that it sees what Kubernetes has put there
// meanwhile. Symbolic links are followed within the directory only. The map is
// read-only unless it is opened as writable; mounts of Kubernetes always are.
package directory

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Bounds on a directory. Kubernetes allows 1 MiB for all of a Secret.
const (
	MaxValue   = 1 << 20
	MaxEntries = 1 << 16
	maxName    = 253 // what Kubernetes allows for a key
)

// Options is a directory and how to use it.
type Options struct {
	// Path is the directory, which must exist.
	Path string
	// Writable permits Put.
	Writable bool
}

// Map is a directory of files. It is safe for concurrent use.
type Map struct{ opts Options }

var _ provider.SecretMap = (*Map)(nil)

// Open checks that the directory is there.
func Open(opts Options) (*Map, error) {
	m := &Map{opts}
	root, err := m.root()
	if err != nil {
		return nil, err
	}
	return m, root.Close()
}

// root opens the directory. It is done for each call, since the directory may
// be replaced as a whole.
func (m *Map) root() (*os.Root, error) {
	root, err := os.OpenRoot(m.opts.Path)
	return root, classify("the directory "+m.opts.Path, err)
}

// classify makes an error of package provider of the system's, without the path that the name tells already.
func classify(name string, err error) error {
	if err == nil {
		return nil
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s", provider.ErrNotFound, name)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %s: %w", provider.ErrPermission, name, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %s: %w", provider.ErrReadOnly, name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

const slash = ".."

// FileName returns the name of a key's file: each slash becomes two dots. A key
// has no file if its segments are empty, begin or end with a dot or have two
// dots in a row (the slashes could not be told any more), if it has a control
// character or a backslash, or if the name would be longer than 253 bytes.
func FileName(key string) (string, error) {
	name := strings.ReplaceAll(key, "/", slash)
	switch {
	case !utf8.ValidString(key), strings.ContainsFunc(key, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }):
		return "", errors.New("the key has a character that a file's name should not have")
	case len(name) > maxName:
		return "", fmt.Errorf("the key is longer than %d bytes", maxName)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment[0] == '.' || segment[len(segment)-1] == '.' || strings.Contains(segment, slash) {
			return "", errors.New("the key has a segment that is empty, begins or ends with a dot, or has two dots in a row")
		}
	}
	return name, nil
}

// keyOf is the reverse of FileName; ok is false for a name that no key has.
func keyOf(name string) (key string, ok bool) {
	key = strings.ReplaceAll(name, slash, "/")
	back, err := FileName(key)
	return key, err == nil && back == name
}

// Get implements provider.SecretMap.
func (m *Map) Get(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name, err := FileName(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", provider.ErrNotFound, err)
	}
	root, err := m.root()
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // opened for reading only
	// A pipe would block the open.
	info, err := root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %q is not a regular file", provider.ErrNotFound, name)
	}
	if err != nil {
		return nil, classify(fmt.Sprintf("the file %q", name), err)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, classify(fmt.Sprintf("the file %q", name), err)
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	value, err := io.ReadAll(io.LimitReader(f, MaxValue+1))
	if err != nil {
		return nil, classify(fmt.Sprintf("the file %q", name), err)
	}
	if len(value) > MaxValue {
		return nil, fmt.Errorf("%w: the file %q has more than %d bytes", provider.ErrTooLarge, name, MaxValue)
	}
	return value, nil
}

// List implements provider.SecretMap.
func (m *Map) List(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := m.root()
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // opened for reading only
	dir, err := root.Open(".")
	if err != nil {
		return nil, classify("the directory "+m.opts.Path, err)
	}
	defer dir.Close() //nolint:errcheck // opened for reading only
	names, err := dir.Readdirnames(MaxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, classify("the directory "+m.opts.Path, err)
	}
	if len(names) > MaxEntries {
		return nil, fmt.Errorf("%w: the directory has more than %d entries", provider.ErrTooLarge, MaxEntries)
	}
	keys := []string{}
	for _, name := range names {
		key, ok := keyOf(name)
		if !ok {
			continue
		}
		// One that has gone meanwhile, or that leads out, is none.
		if info, err := root.Stat(name); err == nil && info.Mode().IsRegular() {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// Put implements provider.SecretMap. The file appears whole, readable for this user only.
func (m *Map) Put(ctx context.Context, key string, value []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !m.opts.Writable {
		return fmt.Errorf("%w: the directory is not to be written to", provider.ErrReadOnly)
	}
	name, err := FileName(key)
	if err != nil {
		return fmt.Errorf("%w: %w", provider.ErrRejected, err)
	}
	if len(value) > MaxValue {
		return fmt.Errorf("%w: a value of %d bytes; at most %d are allowed", provider.ErrTooLarge, len(value), MaxValue)
	}
	root, err := m.root()
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // nothing is buffered
	var id [8]byte
	rand.Read(id[:]) //nolint:errcheck // never fails
	temp := "." + hex.EncodeToString(id[:]) + ".tmp"
	err = writeFile(root, temp, value)
	if err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		_ = root.Remove(temp)
		return classify(fmt.Sprintf("write the file %q", name), err)
	}
	return syncDir(root)
}

func writeFile(root *os.Root, name string, value []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir has a rename survive a crash of the machine, where the system can.
func syncDir(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	_ = dir.Sync() // some systems can't
	return dir.Close()
}

// Close implements provider.SecretMap. There is nothing to close.
func (*Map) Close() error { return nil }

// settings is what a manifest says, by the schema's #DirectorySecretMap.
type settings struct {
	Path     string `json:"path"`
	Writable bool   `json:"writable"`
}

// Factory makes maps of {path: ...}.
func Factory() provider.Factory[provider.SecretMap] {
	return provider.Factory[provider.SecretMap]{
		Name:    "directory",
		Package: "secretmap/directory",
		Summary: "a directory with one file for each name, such as a mounted Kubernetes Secret",
		Resolve: resolve,
	}
}

func resolve(b manifest.Backend, _ provider.Scope) (provider.Resolved[provider.SecretMap], diag.List) {
	var s settings
	diags := b.Decode(&s)
	if !diags.HasErrors() && s.Path == "" {
		diags = append(diags, b.Fault(diag.CodeMissing, "names no directory", "path"))
	}
	if diags.HasErrors() {
		return provider.Resolved[provider.SecretMap]{}, diags
	}
	opts := Options{Path: b.Abs(s.Path, "path"), Writable: s.Writable}
	attributes := []provider.Attribute{{Key: "path", Value: opts.Path}}
	if opts.Writable {
		attributes = append(attributes, provider.Attribute{Key: "writable", Value: "true"})
	}
	return provider.Resolved[provider.SecretMap]{
		Attributes: attributes,
		Open: func(context.Context, provider.Env) (provider.SecretMap, error) {
			m, err := Open(opts)
			if err != nil {
				return nil, err
			}
			return m, nil
		},
	}, diags
}

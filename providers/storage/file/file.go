// Package file is storage in a directory: a local disk, or a network share
// that two parties mount.
//
// The blob of key K is the file K below the directory, as in the reference, and
// there is nothing else but one reserved directory, .panelmatch.tmp. Unlike the
// reference's, its writes are atomic: a blob is written to a file in the
// reserved directory, synced, and renamed, and the directory is synced, so that
// a reader sees a blob whole or not at all, also after a crash. What a killed
// process leaves in the reserved directory is removed at the next opening a day
// later, and is never listed.
//
// No key leads out of the directory: what could is escaped (see encodeKey), and
// symbolic links below it are not followed. Package blob refuses such keys
// before they get here.
//
// Conditional writes are safe between processes: a write of an absent blob by
// link(2), which a few file systems lack, and a write that depends on the
// version by flock(2) on a file in the reserved directory. Both fail as
// unsupported where the system can't do it.
//
// It is not for directories that someone writes to in place while we read:
// such a file can be seen in halves. Signatures, sizes and retries catch that
// for the reference's blobs.
//
// Content type and metadata, which the engine does not use, are kept in an
// extended attribute of the file (user.panelmatch.properties). On a file system
// without those the content type is forgotten and metadata is refused.
//
// There is no encryption here, and permissions are those of the process's
// umask. The file system decides whether case matters in keys.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gocloud.dev/blob"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Options is a directory and how to open it.
type Options struct {
	// Dir is the directory's path.
	Dir string
	// CreateDir makes the directory, with its parents, if it is not there.
	CreateDir bool
}

// Open opens a directory as a bucket. Close it after the last use; readers and
// writers that are still open then fail.
func Open(opts Options) (*blob.Bucket, error) {
	if opts.CreateDir {
		if err := os.MkdirAll(opts.Dir, dirMode); err != nil {
			return nil, classify(fmt.Errorf("make the directory %q: %w", opts.Dir, cause(err)))
		}
	}
	b, err := openBucket(opts.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: the directory %q; make it, or add ?create_dir=true to the URL", provider.ErrNotFound, opts.Dir)
	}
	if err != nil {
		return nil, classify(fmt.Errorf("open the directory %q: %w", opts.Dir, cause(err)))
	}
	return blob.NewBucket(b), nil
}

// cause drops the path, which the message has already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func classify(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", provider.ErrPermission, err)
	}
	return err
}

// settings is what a manifest says, by the schema's #StorageSpec.
type settings struct {
	URL  string `json:"url"`
	File struct {
		CreateDir bool `json:"createDir"`
	} `json:"file"`
}

// Factory makes buckets of directories, for the URLs file:///abs/dir,
// file:rel/dir and file://./rel/dir with the parameter create_dir.
func Factory() provider.Factory[provider.Storage] {
	return provider.Factory[provider.Storage]{
		Name:    "file",
		Package: "storage/file",
		Summary: "a directory: a local disk, or a share that both parties mount",
		Resolve: resolve,
	}
}

func resolve(b manifest.Backend, _ provider.Scope) (provider.Resolved[provider.Storage], diag.List) {
	var s settings
	diags := b.Decode(&s)
	if diags.HasErrors() {
		return provider.Resolved[provider.Storage]{}, diags
	}
	opts, err := ParseURL(s.URL)
	if err != nil {
		d := b.Fault(diag.CodeValue, err.Error(), "url")
		d.Hint = "such as file:///var/lib/panelmatch?create_dir=true"
		return provider.Resolved[provider.Storage]{}, append(diags, d)
	}
	opts.Dir = b.Abs(opts.Dir, "url")
	opts.CreateDir = opts.CreateDir || s.File.CreateDir
	attributes := []provider.Attribute{{Key: "directory", Value: opts.Dir}}
	if opts.CreateDir {
		attributes = append(attributes, provider.Attribute{Key: "createDir", Value: "true"})
	}
	return provider.Resolved[provider.Storage]{
		Attributes: attributes,
		Open: func(context.Context, provider.Env) (provider.Storage, error) {
			return Open(opts)
		},
	}, diags
}

// ParseURL reads a file: URL. A relative path stays relative. The errors
// complete a sentence that begins with the setting.
func ParseURL(raw string) (Options, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Options{}, errors.New("is not a URL")
	}
	dir := u.Path
	switch {
	case u.Scheme != "file":
		return Options{}, fmt.Errorf("is of the scheme %q, not file", u.Scheme)
	case u.User != nil || u.Host != "" && u.Host != ".":
		return Options{}, errors.New("names a host; write file:///dir with three slashes")
	case u.Fragment != "":
		return Options{}, errors.New("has a fragment (#...); write %23 for a # in the path")
	case u.Opaque != "":
		if dir, err = url.PathUnescape(u.Opaque); err != nil {
			return Options{}, errors.New("has a % that no two hex digits follow; write %25 for a % in the path")
		}
	case u.Host == ".":
		dir = "." + dir
	}
	if dir == "" || strings.ContainsRune(dir, 0) {
		return Options{}, errors.New("names no directory")
	}
	opts := Options{Dir: filepath.Clean(filepath.FromSlash(dir))}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Options{}, errors.New("has parameters that can't be read")
	}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name != "create_dir" {
			return Options{}, fmt.Errorf("has the unknown parameter %q; a directory has only create_dir", name)
		}
		if opts.CreateDir, err = strconv.ParseBool(query.Get(name)); err != nil || len(query[name]) != 1 {
			return Options{}, errors.New("has a parameter create_dir that is not one true or false")
		}
	}
	return opts, nil
}

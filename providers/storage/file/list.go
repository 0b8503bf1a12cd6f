package file

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"gocloud.dev/blob/driver"
)

// defaultPage is how many blobs a page has if the caller does not say.
const defaultPage = 1000

// ListPaged implements driver.Bucket. Keys come in byte order, which is not
// that of paths: "a-" is before "a/b", though directory a is before file a-.
func (b *bucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	if opts.BeforeList != nil {
		if err := opts.BeforeList(func(any) bool { return false }); err != nil {
			return nil, err
		}
	}
	size := opts.PageSize
	if size <= 0 {
		size = defaultPage
	}
	l := &lister{bucket: b, ctx: ctx, opts: opts, after: string(opts.PageToken), size: size}
	err := l.walk(".")
	if err != nil && !errors.Is(err, errPageFull) {
		return nil, err
	}
	page := &driver.ListPage{Objects: l.found}
	if len(l.found) > size {
		page.Objects = l.found[:size]
		page.NextPageToken = []byte(l.found[size-1].Key)
	}
	return page, nil
}

var errPageFull = errors.New("page full")

type lister struct {
	bucket *bucket
	ctx    context.Context
	opts   *driver.ListOptions
	after  string // keys up to this one were on earlier pages
	size   int
	found  []*driver.ListObject
	folded string // the last key that stands for a directory, once there was one
}

// entry is a file or directory with its part of the key: for a directory with
// the slash that follows, so that the order of entries is that of the keys.
type entry struct {
	fs.DirEntry
	key string
}

// walk lists a directory, given by its path. It ends with errPageFull.
func (l *lister) walk(dir string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	entries, err := l.entries(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if l.skip(e.key) {
				continue
			}
			if err := l.walk(join(dir, e.Name())); err != nil {
				return err
			}
		} else if err := l.file(e, join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// entries reads a directory. One that has gone meanwhile, or that can't be
// read and is not the root, has none.
func (l *lister) entries(dir string) ([]entry, error) {
	f, err := l.bucket.root.Open(dir)
	if err != nil {
		if dir != "." && errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	found, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(found))
	for _, e := range found {
		path := join(dir, e.Name())
		switch {
		case path == workDir:
		case e.IsDir():
			entries = append(entries, entry{e, decodePath(path) + "/"})
		case e.Type().IsRegular():
			entries = append(entries, entry{e, decodePath(path)})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if c := strings.Compare(a.key, b.key); c != 0 {
			return c
		}
		// The blob "a/" comes before those in directory a.
		return cmp.Compare(boolInt(a.IsDir()), boolInt(b.IsDir()))
	})
	return entries, nil
}

// skip reports whether nothing below a directory can be on the page. All keys below begin with key.
func (l *lister) skip(key string) bool {
	switch {
	case !strings.HasPrefix(key, l.opts.Prefix) && !strings.HasPrefix(l.opts.Prefix, key):
		return true
	case l.folded != "" && strings.HasPrefix(key, l.folded):
		return true
	}
	return key < l.after && !strings.HasPrefix(l.after, key)
}

// file adds a file, or the directory that it is folded into.
func (l *lister) file(e entry, path string) error {
	rest, ok := strings.CutPrefix(e.key, l.opts.Prefix)
	if !ok || l.folded != "" && strings.HasPrefix(e.key, l.folded) {
		return nil
	}
	if canonical, err := encodeKey(e.key); err != nil || canonical != path {
		return nil //nolint:nilerr // a file that nobody wrote through a key has none
	}
	object := &driver.ListObject{Key: e.key}
	if d := l.opts.Delimiter; d != "" {
		if i := strings.Index(rest, d); i >= 0 {
			l.folded = l.opts.Prefix + rest[:i+len(d)]
			object.Key, object.IsDir = l.folded, true
		}
	}
	if l.after != "" && object.Key <= l.after {
		return nil
	}
	if !object.IsDir {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		object.ModTime, object.Size, object.AsFunc = info.ModTime(), info.Size(), asFileInfo(info)
	}
	l.found = append(l.found, object)
	if len(l.found) > l.size {
		return errPageFull
	}
	return nil
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

package graph

import (
	"cmp"
	"net/url"
	"path"
	"strings"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// place is where blobs are, made comparable: the bucket (or the file system),
// and the directory in it. What opens the bucket plays no part: a partner's
// credentials and ours lead to the same blobs.
type place struct {
	bucket string
	path   string
	// own tells that directories have permissions of their own, as those of a file system do.
	own bool
}

// placeOf returns the place of a storage.
func placeOf(s manifest.Storage) place {
	prefix := prefixOf(s)
	if s.URL == "" {
		return place{bucket: canonicalKey(provider.KindStorage, "", s.Backend, "prefix"), path: prefix}
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return place{bucket: s.URL, path: prefix}
	}
	q := u.Query()
	switch u.Scheme {
	case "file":
		dir := u.Path
		if u.Opaque != "" {
			dir = u.Opaque
		}
		return place{bucket: "file", path: directory(path.Join(u.Host, dir), q.Get("prefix"), prefix), own: true}
	case "s3":
		server := cmp.Or(text(s.Value, "s3", "endpoint"), q.Get("endpoint"))
		return place{bucket: "s3://" + u.Host + " " + server, path: directory(q.Get("prefix"), prefix)}
	case "azblob":
		account := cmp.Or(text(s.Value, "auth", "azure", "account"), q.Get("storage_account")) + " " +
			cmp.Or(text(s.Value, "azblob", "endpoint"), q.Get("domain"))
		return place{bucket: "azblob://" + u.Host + " " + account, path: directory(q.Get("prefix"), prefix)}
	default:
		return place{bucket: u.Scheme + "://" + u.Host + u.Opaque + strings.TrimSuffix(u.Path, "/"), path: directory(q.Get("prefix"), prefix)}
	}
}

// directory joins parts of a key prefix into a path without slashes at its ends.
func directory(parts ...string) string {
	return strings.Trim(path.Join(parts...), "/")
}

// contains reports whether q is p, or lies in it.
func (p place) contains(q place) bool {
	return p.bucket == q.bucket && (p.path == "" || p.path == q.path || strings.HasPrefix(q.path, p.path+"/"))
}

// prefixOf returns the setting prefix of a storage's long form, without slashes at its ends.
func prefixOf(s manifest.Storage) string {
	if !s.Value.Exists() {
		return ""
	}
	return strings.Trim(text(s.Value, "prefix"), "/")
}

// canonicalURL returns a URL so that equal ones have equal texts: query
// parameters in order, the path without detours.
func canonicalURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return raw
	}
	u.RawQuery = u.Query().Encode()
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if u.Path != "" {
		u.Path, u.RawPath = path.Clean(u.Path), ""
		if u.Path == "/" && u.Scheme != "file" {
			u.Path = ""
		}
	}
	return u.String()
}

package graph

import (
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/panelmatch/panelmatch/schema/manifest"
)

const redacted = "[redacted]"

// harmless are the query parameters of storage and key URLs that are known to
// carry no secret. The value of any other is not shown.
var harmless = []string{
	"accelerate", "anonymous", "awssdk", "create", "create_dir", "dir_file_mode", "disable_https", "domain",
	"dualstack", "endpoint", "fips", "hostname_immutable", "key_version", "localemu", "metadata", "no_tmp_dir",
	"prefix", "profile", "protocol", "region", "s3ForcePathStyle", "ssetype", "storage_account", "use_path_style",
}

// maskURL returns a URL as people may see it: without user and password, and
// without the values of query parameters that could be a secret.
func maskURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		scheme, _, found := strings.Cut(raw, ":")
		if !found {
			return redacted
		}
		return visible(scheme) + ":" + redacted
	}
	var b strings.Builder
	if u.Scheme != "" {
		b.WriteString(u.Scheme + ":")
	}
	if u.Opaque != "" {
		b.WriteString(u.Opaque)
	} else {
		if u.Host != "" || u.User != nil || strings.HasPrefix(raw, u.Scheme+"://") {
			b.WriteString("//")
		}
		if u.User != nil {
			b.WriteString(redacted + "@")
		}
		b.WriteString(u.Host + u.EscapedPath())
	}
	if u.RawQuery != "" {
		b.WriteString("?" + maskQuery(u.RawQuery))
	}
	if u.Fragment != "" {
		b.WriteString("#" + redacted)
	}
	return visible(b.String())
}

// maskQuery keeps the order of the parameters and their own escapes.
func maskQuery(raw string) string {
	parts := strings.FieldsFunc(raw, func(r rune) bool { return r == '&' || r == ';' })
	for i, p := range parts {
		key, value, found := strings.Cut(p, "=")
		if !found {
			parts[i] = redacted // a bare word may be anything
			continue
		}
		name, err := url.QueryUnescape(key)
		if err == nil && slices.Contains(harmless, name) && !strings.Contains(strings.ToLower(value), "%40") && !strings.Contains(value, "@") {
			continue
		}
		parts[i] = key + "=" + redacted
	}
	return strings.Join(parts, "&")
}

// maskText masks a text that may be a URL; other texts only lose characters
// that could move a terminal's cursor.
func maskText(s string) string {
	if strings.Contains(s, "://") && !strings.ContainsAny(s, " \t\n") {
		return maskURL(s)
	}
	return visible(s)
}

// visible replaces characters that don't print.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// storageLabel says where a storage is.
func storageLabel(s manifest.Storage) string {
	if s.URL == "" {
		return "custom: " + visible(ownName(s.Backend))
	}
	label := maskURL(s.URL)
	if p := prefixOf(s); p != "" {
		label += " below " + visible(p) + "/"
	}
	return label
}

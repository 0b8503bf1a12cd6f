package manifest

import (
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	cueerrors "cuelang.org/go/cue/errors"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// Decode fills into (a pointer to a struct with json tags) from the backend's
// settings. Every fault is located in the user's files. A relative SecretRef
// becomes absolute: it resolves against the file that names it.
//
// Keys that into does not have are ignored, because the schema has refused
// unknown ones; for settings that the schema leaves open use DecodeStrict.
func (b Backend) Decode(into any) diag.List {
	if !b.Value.Exists() {
		return diag.List{b.Fault(diag.CodeValue, "has no settings")}
	}
	var diags diag.List
	own := len(b.Value.Path().Selectors())
	inText := false
	for _, e := range cueerrors.Errors(b.Value.Decode(into)) {
		if format, args := e.Msg(); fmt.Sprintf(format, args...) == "" {
			inText = true // of an UnmarshalText or UnmarshalJSON; CUE does not say where
			continue
		}
		var path []string
		for i, s := range cueerrors.Path(e) {
			if i >= own {
				path = append(path, strings.TrimPrefix(cueKey(s), indexMark))
			}
		}
		diags = append(diags, b.Fault(diag.CodeValue, decodeMessage(e, path), path...))
	}
	if inText {
		before := len(diags)
		b.unmarshalFaults(b.Value, reflect.TypeOf(into), nil, &diags)
		if len(diags) == before {
			diags = append(diags, b.Fault(diag.CodeValue, "does not fit"))
		}
	}
	resolveRefs(reflect.ValueOf(into), nil, b.dir)
	diags.Sort()
	return diags
}

// unmarshalFaults decodes again, one by one, what reads its own text, to find which of them fail.
func (b Backend) unmarshalFaults(v cue.Value, t reflect.Type, path []string, diags *diag.List) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	p := reflect.PointerTo(t)
	if p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) || p.Implements(reflect.TypeFor[json.Unmarshaler]()) {
		if err := v.Decode(reflect.New(t).Interface()); err != nil {
			message := "does not fit"
			if inner := errors.Unwrap(err); inner != nil && (len(path) == 0 || !secretName.MatchString(path[len(path)-1])) {
				message = "does not fit: " + maskURLs(inner.Error())
			}
			*diags = append(*diags, b.Fault(diag.CodeValue, message, path...))
		}
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(t) {
			if name := jsonName(f); name != "" {
				if x := v.LookupPath(cue.MakePath(cue.Str(name))); x.Exists() {
					b.unmarshalFaults(x, f.Type, below(path, name), diags)
				}
			}
		}
	case reflect.Slice, reflect.Array:
		it, err := v.List()
		for i := 0; err == nil && it.Next(); i++ {
			b.unmarshalFaults(it.Value(), t.Elem(), below(path, strconv.Itoa(i)), diags)
		}
	case reflect.Map:
		it, err := v.Fields()
		for err == nil && it.Next() {
			b.unmarshalFaults(it.Value(), t.Elem(), below(path, it.Selector().Unquoted()), diags)
		}
	}
}

// DecodeStrict is Decode which also reports keys that into does not have. It
// is for the settings of a custom provider, about which the schema knows nothing.
func (b Backend) DecodeStrict(into any) diag.List {
	var diags diag.List
	t := reflect.TypeOf(into)
	if t != nil && t.Kind() == reflect.Pointer {
		b.unknownKeys(b.Value, t.Elem(), nil, &diags)
	}
	diags = append(diags, b.Decode(into)...)
	diags.Sort()
	return diags
}

// decodeMessage makes a sentence of a decoding error. CUE's own texts quote values.
func decodeMessage(e cueerrors.Error, path []string) string {
	format, args := e.Msg()
	message := fmt.Sprintf(format, args...)
	if len(path) > 0 && secretName.MatchString(path[len(path)-1]) {
		return "does not fit"
	}
	return maskURLs(message)
}

// unknownKeys compares the keys of v with the fields of t.
func (b Backend) unknownKeys(v cue.Value, t reflect.Type, path []string, diags *diag.List) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || v.IncompleteKind() != cue.StructKind || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return
	}
	if t == reflect.TypeFor[cue.Value]() || t == reflect.TypeFor[Storage]() || t == reflect.TypeFor[KMS]() {
		return
	}
	fields := map[string]reflect.Type{}
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name := jsonName(f); name != "" {
			fields[name] = f.Type
			names = append(names, name)
		}
	}
	it, err := v.Fields()
	if err != nil {
		return
	}
	for it.Next() {
		key := it.Selector().Unquoted()
		at := below(path, key)
		if ft, ok := fields[key]; ok {
			b.unknownKeys(it.Value(), ft, at, diags)
			continue
		}
		d := b.Fault(diag.CodeUnknown, "no such setting", at...)
		d.Allowed = names
		d.DidYouMean, _ = diag.Closest(key, names)
		*diags = append(*diags, d)
	}
}

// jsonName is the key of a struct's field, or empty if it has none.
func jsonName(f reflect.StructField) string {
	if !f.IsExported() || f.Anonymous {
		return ""
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch name {
	case "-":
		return ""
	case "":
		return f.Name
	}
	return name
}

// Fault makes an error about a setting of the backend, for providers that
// check more than the schema can say. The message begins after the path: "must
// be ...". It must not quote a secret.
func (b Backend) Fault(code diag.Code, message string, path ...string) diag.Diagnostic {
	d := diag.Diagnostic{Code: code, Message: message, Path: b.Path}
	if len(path) > 0 {
		shown := show(indices(path))
		switch {
		case b.Path == "" || strings.HasPrefix(shown, "["):
			d.Path += shown
		default:
			d.Path += "." + shown
		}
	}
	if b.At != nil {
		d.Pos = b.At(path...)
	}
	return d
}

// indices turns elements that are numbers into list indices, for display.
func indices(path []string) []string {
	out := slices.Clone(path)
	for i, e := range out {
		if _, err := strconv.Atoi(e); err == nil {
			out[i] = indexMark + e
		}
	}
	return out
}

// Sub returns the part of a backend at a path as a backend of its own, with
// the same name; for the settings of a custom provider.
func (b Backend) Sub(path ...string) Backend {
	s := Backend{Name: b.Name, Path: b.Fault(diag.CodeValue, "", path...).Path, Value: b.lookup(path)}
	if b.At != nil {
		s.At = func(more ...string) diag.Position { return b.At(below(path, more...)...) }
	}
	if b.Dir != nil {
		s.Dir = func(more ...string) string { return b.Dir(below(path, more...)...) }
	}
	return s
}

func (b Backend) lookup(path []string) cue.Value {
	v := b.Value
	for _, e := range path {
		if i, err := strconv.Atoi(e); err == nil && v.IncompleteKind() == cue.ListKind {
			v = v.LookupPath(cue.MakePath(cue.Index(i)))
		} else {
			v = v.LookupPath(cue.MakePath(cue.Str(e)))
		}
	}
	return v
}

// Custom returns the backend that a custom one stands for: its name is that of
// the deployer's provider, and its settings are that provider's own. ok is
// false if b is not custom.
func (b Backend) Custom() (own Backend, ok bool) {
	if b.Name != "custom" {
		return Backend{}, false
	}
	name, err := b.lookup([]string{"name"}).String()
	if err != nil {
		return Backend{}, false
	}
	own = b.Sub("settings")
	own.Name = name
	if !own.Value.Exists() {
		own.Value = b.Value.Context().Encode(struct{}{}) //nolint:staticcheck // all values of a load share one context, and a new one costs
	}
	return own, true
}

// Storage returns the place for blobs at a path of the backend's settings. ok
// is false if none is given there.
func (b Backend) Storage(path ...string) (s Storage, ok bool) {
	s.Backend, s.URL = b.located("url", path)
	return s, !s.IsZero()
}

// KMS returns the key at a path of the backend's settings. ok is false if none is given there.
func (b Backend) KMS(path ...string) (k KMS, ok bool) {
	k.Backend, k.URI = b.located("uri", path)
	return k, !k.IsZero()
}

// located reads what is either a URL, a map with a URL under key, or {custom: ...}.
func (b Backend) located(key string, path []string) (Backend, string) {
	s := b.Sub(path...)
	s.Name = ""
	if !s.Value.Exists() {
		return Backend{}, ""
	}
	if c := s.lookup([]string{"custom"}); c.Exists() {
		s = s.Sub("custom")
		s.Name = "custom"
		return s, ""
	}
	text, err := s.Value.String()
	short := err == nil
	if !short {
		if text, err = s.lookup([]string{key}).String(); err != nil {
			return Backend{}, ""
		}
	}
	absolute := absURL(text, s.dir(key))
	s.Name, _, _ = strings.Cut(absolute, ":")
	switch {
	case short:
		// A provider sees the long form only.
		s.Value = s.Value.Context().Encode(map[string]string{key: absolute}) //nolint:staticcheck // all values of a load share one context, and a new one costs
	case absolute != text:
		s.Value = withText(s.Value, key, absolute)
	}
	return s, absolute
}

// withText returns the struct v with another text under key.
func withText(v cue.Value, key, text string) cue.Value {
	out := v.Context().Encode(map[string]string{key: text}) //nolint:staticcheck // all values of a load share one context, and a new one costs
	it, err := v.Fields()
	if err != nil {
		return out
	}
	for it.Next() {
		if name := it.Selector().Unquoted(); name != key {
			out = out.FillPath(cue.MakePath(cue.Str(name)), it.Value())
		}
	}
	return out
}

// Abs makes a file name in the settings absolute: a relative one resolves
// against the directory of the file that names it.
func (b Backend) Abs(name string, path ...string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(b.dir(path...), name)
}

func (b Backend) dir(path ...string) string {
	if b.Dir == nil {
		return "."
	}
	return b.Dir(path...)
}

// absURL makes the path of a file: or local: URL absolute. Accepted are
// file:///abs, file:rel, file://./rel. Other URLs stay as they are.
func absURL(raw, dir string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "file" && u.Scheme != "local" || u.Host != "" && u.Host != "." {
		return raw
	}
	name := u.Path
	if u.Opaque != "" {
		if name, err = url.PathUnescape(u.Opaque); err != nil {
			return raw
		}
	}
	if u.Host == "." {
		name = "." + name
	}
	if name == "" {
		return raw
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	u.Opaque, u.Host, u.RawPath, u.Path = "", "", "", name
	return u.String()
}

// resolveRefs makes the SecretRefs in v absolute.
func resolveRefs(v reflect.Value, path []string, dir func(...string) string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			resolveRefs(v.Elem(), path, dir)
		}
	case reflect.Struct:
		if ref, ok := reflect.TypeAssert[SecretRef](v); ok {
			if v.CanSet() {
				v.Set(reflect.ValueOf(ref.absolute(dir(path...))))
			}
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			switch name := jsonName(f); {
			case name != "":
				resolveRefs(v.Field(i), below(path, name), dir)
			case f.Anonymous && f.IsExported():
				resolveRefs(v.Field(i), path, dir)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			resolveRefs(v.Index(i), below(path, strconv.Itoa(i)), dir)
		}
	case reflect.Map:
		it := v.MapRange()
		for it.Next() {
			ref, ok := reflect.TypeAssert[SecretRef](it.Value())
			if ok {
				v.SetMapIndex(it.Key(), reflect.ValueOf(ref.absolute(dir(below(path, it.Key().String())...))))
			}
		}
	}
}

// absolute resolves file:rel against dir.
func (s SecretRef) absolute(dir string) SecretRef {
	name, ok := strings.CutPrefix(s.ref, "file:")
	if !ok || strings.HasPrefix(name, "//") || filepath.IsAbs(name) {
		return s
	}
	return SecretRef{"file://" + filepath.Join(dir, name)}
}

// maxSecret bounds a secret's size in bytes.
const maxSecret = 1 << 20

// ResolveSecret reads the secret that ref refers to, now: a file of at most 1
// MiB, or an environment variable. One newline at the end is dropped, because
// editors add it. An empty secret is an error. Errors name the reference and
// never hold anything of the secret. The path of a file is taken as it is
// written, without percent-decoding.
func ResolveSecret(ctx context.Context, ref SecretRef) (Secret, error) {
	if err := ctx.Err(); err != nil {
		return Secret{}, fmt.Errorf("secret %s: %w", ref.ref, err)
	}
	b, err := readSecret(ref.ref)
	if err != nil {
		// References are checked by the schema. One that is none may be the secret itself.
		if !isReference(ref.ref) {
			return Secret{}, errors.New("secret reference is not of the form file:///path, file:path or env:NAME")
		}
		return Secret{}, fmt.Errorf("secret %s: %w", ref.ref, err)
	}
	return NewSecret(b), nil
}

func readSecret(ref string) ([]byte, error) {
	var b []byte
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		text, there := os.LookupEnv(name)
		if !there {
			return nil, fmt.Errorf("the environment variable is not set: %w", fs.ErrNotExist)
		}
		b = []byte(text)
	} else {
		name, ok := strings.CutPrefix(ref, "file://")
		if !ok || !filepath.IsAbs(name) {
			return nil, errors.New("is not absolute, and the file that names it is not known; write file:///path")
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, reason(err)
		}
		defer f.Close() //nolint:errcheck // opened for reading only
		if b, err = io.ReadAll(io.LimitReader(f, maxSecret+1)); err != nil {
			return nil, reason(err)
		}
	}
	if len(b) > maxSecret {
		return nil, fmt.Errorf("is larger than %d bytes", maxSecret)
	}
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
		if n := len(b); n > 0 && b[n-1] == '\r' {
			b = b[:n-1]
		}
	}
	if len(b) == 0 {
		return nil, errors.New("is empty")
	}
	return b, nil
}

// reason drops the path, which the reference names already, and keeps what errors.Is asks for.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

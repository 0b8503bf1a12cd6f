package schema_test

// Every @oneOf has a guard with the same members wherever its definition is
// used: none and two members are planted at every place, and must be found.

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
)

// samples are values for definitions and settings that are more than an enumeration.
var samples = map[string]any{
	"#Secret": "env:X", "#Duration": "1m", "#PositiveDuration": "1m", "#ByteSize": 1, "#Path": "p", "#PartyID": "edp1",
	"#HostPort": "h:1", "#HostName": "h", "#HTTPURL": "https://h", "#Text": "x", "#BlobURL": "s3://b",
	"#KeyURI": "hcvault://h/transit/keys/k", "#Storage": "gs://b", "#KMS": "hcvault://h/transit/keys/k",
	"#Count": 1, "#PositiveCount": 1, "#Word": "1",
	"#AWSRole.roleArn":                     "arn:aws:iam::123456789012:role/r",
	"#AWSPrivateCA.arn":                    "arn:aws:acm-pca:r:123456789012:certificate-authority/a",
	"#Custom.name":                         "acme",
	"#GoogleCAS.project":                   "p",
	"#GoogleCAS.location":                  "l",
	"#GoogleCAS.pool":                      "p",
	"#GoogleCAS.authority":                 "a",
	"#Subject.commonName":                  "c",
	"#Subject.organization":                "o",
	"#StorageProtection.reason":            "the disk is encrypted",
	"#Dataflow.project":                    "p",
	"#Dataflow.region":                     "r",
	"#Dataflow.serviceAccount":             "a@b",
	"#Dataflow.tempLocation":               "gs://b/t",
	"#Input.label":                         "l",
	"#Date.year":                           2026,
	"#Date.month":                          1,
	"#Date.day":                            1,
	"#ExchangeIdentifiers.dataProviderId":  "edp1",
	"#ExchangeIdentifiers.modelProviderId": "mp1",
}

// sampler makes small valid values of definitions.
type sampler struct{ t *testing.T }

// name returns the definition that v is, or refers to.
func name(v cue.Value) string {
	_, path := v.ReferencePath()
	if len(path.Selectors()) == 0 {
		path = v.Path()
	}
	s := path.Selectors()
	if len(s) == 1 && s[0].IsDefinition() {
		return s[0].String()
	}
	return ""
}

// alternatives returns the members of a disjunction but its message.
func alternatives(v cue.Value) []cue.Value {
	op, args := cue.Dereference(v).Expr()
	if op != cue.OrOp {
		return []cue.Value{v}
	}
	var all []cue.Value
	for _, a := range args {
		if op, _ := a.Expr(); op != cue.CallOp {
			all = append(all, alternatives(a)...)
		}
	}
	return all
}

// branch returns the map among the alternatives of v that may have the key.
func branch(v cue.Value, key string) (cue.Value, bool) {
	for _, a := range alternatives(v) {
		if a.IncompleteKind() == cue.StructKind && a.Allows(cue.Str(key)) {
			return cue.Dereference(a), true
		}
	}
	return cue.Value{}, false
}

func members(v cue.Value) []string {
	for _, a := range cue.Dereference(v).Attributes(cue.ValueAttr) {
		if a.Name() == "oneOf" {
			var all []string
			for i := range a.NumArgs() {
				m, _ := a.Arg(i)
				all = append(all, m)
			}
			return all
		}
	}
	return nil
}

// sample makes a value with all that is required and, of a one-of, only the members that are asked for.
func (s sampler) sample(label string, v cue.Value, chosen ...string) any {
	s.t.Helper()
	if x, ok := samples[label]; ok {
		return x
	}
	if x, ok := samples[name(v)]; ok && len(chosen) == 0 {
		return x
	}
	v = alternatives(v)[0]
	if text, err := v.String(); err == nil {
		return text
	}
	v = cue.Dereference(v)
	if v.IncompleteKind() == cue.ListKind {
		return []any{s.sample(label+"[]", v.LookupPath(cue.MakePath(cue.AnyIndex)))}
	}
	if v.IncompleteKind() != cue.StructKind {
		s.t.Fatalf("no sample for %s (%s)", label, name(v))
	}
	choice := members(v)
	if len(chosen) == 0 && len(choice) > 0 {
		chosen = choice[:1]
	}
	out := map[string]any{}
	it, err := v.Fields(cue.Optional(true))
	if err != nil {
		s.t.Fatal(err)
	}
	for it.Next() {
		key := it.Selector().Unquoted()
		if it.Selector().ConstraintType() == cue.RequiredConstraint || slices.Contains(chosen, key) {
			out[key] = s.sample(name(v)+"."+key, it.Value())
		}
	}
	if name(v) == "#CertificateAuthority" {
		out["subject"] = map[string]any{"commonName": "c", "organization": "o", "dnsName": "d"}
	}
	return out
}

// plant makes a document of definition v in which leaf stands at path.
func (s sampler) plant(v cue.Value, path []string, leaf any) any {
	s.t.Helper()
	if len(path) == 0 {
		return leaf
	}
	key := path[0]
	if v.IncompleteKind() == cue.ListKind {
		return []any{s.plant(v.LookupPath(cue.MakePath(cue.AnyIndex)), path[1:], leaf)}
	}
	b, ok := branch(v, key)
	if !ok {
		s.t.Fatalf("%s has no %s", v.Path(), key)
	}
	chosen := []string{"-"}
	if choice := members(b); len(choice) > 0 && !slices.Contains(choice, key) {
		chosen = choice[:1]
	}
	out := map[string]any{}
	if name(b) != "" {
		out, _ = s.sample("", b, chosen...).(map[string]any)
	}
	out[key] = s.plant(child(b, key), path[1:], leaf)
	return out
}

func child(v cue.Value, key string) cue.Value {
	if f := v.LookupPath(cue.MakePath(cue.Str(key).Optional())); f.Exists() {
		return f
	}
	if f := v.LookupPath(cue.MakePath(cue.Str(key))); f.Exists() {
		return f
	}
	it, err := v.Fields(cue.Patterns(true))
	for err == nil && it.Next() {
		if it.Selector().ConstraintType() == cue.PatternConstraint {
			return it.Value()
		}
	}
	return cue.Value{}
}

// place is where a one-of is used.
type place struct {
	path    []string
	members []string
}

// places finds all of them below v.
func places(v cue.Value, path, stack []string) []place {
	var found []place
	for _, a := range alternatives(v) {
		a = cue.Dereference(a)
		if slices.Contains(stack, name(a)) && name(a) != "" {
			continue
		}
		inner := append(slices.Clone(stack), name(a))
		if m := members(a); m != nil {
			found = append(found, place{slices.Clone(path), m})
		}
		switch a.IncompleteKind() {
		case cue.ListKind:
			if e := a.LookupPath(cue.MakePath(cue.AnyIndex)); e.Exists() {
				found = append(found, places(e, append(slices.Clone(path), "0"), inner)...)
			}
		case cue.StructKind:
			it, err := a.Fields(cue.Optional(true), cue.Patterns(true))
			for err == nil && it.Next() {
				key := "rx1"
				if it.Selector().ConstraintType() != cue.PatternConstraint {
					key = it.Selector().Unquoted()
				}
				found = append(found, places(it.Value(), append(slices.Clone(path), key), inner)...)
			}
		}
	}
	return found
}

func TestEveryOneOfHasAGuardWhereverItIsUsed(t *testing.T) {
	v := compile(t)
	used := map[string]bool{}
	for root, least := range map[string]int{"#Deployment": 40, "#Overrides": 4, "#Workflow": 1} {
		def := v.LookupPath(cue.ParsePath(root))
		all := places(def, nil, nil)
		if len(all) < least {
			t.Errorf("%s: found %d places, want at least %d", root, len(all), least)
		}
		for _, p := range all {
			used[strings.Join(p.members, ",")] = true
			if strings.Contains(strings.Join(p.path, "."), "shared.encrypt") {
				continue // refused as a whole, whatever is in it
			}
			t.Run(root+"/"+strings.Join(append([]string{"_"}, p.path...), "."), func(t *testing.T) {
				s := sampler{t}
				at := def
				for _, e := range p.path {
					if at.IncompleteKind() == cue.ListKind {
						at = at.LookupPath(cue.MakePath(cue.AnyIndex))
						continue
					}
					b, _ := branch(at, e)
					at = child(b, e)
				}
				for n, chosen := range [][]string{{"-"}, p.members[:1], {p.members[0], p.members[len(p.members)-1]}} {
					doc := s.plant(def, p.path, s.sample("", at, chosen...))
					if root == "#Deployment" && len(p.path) > 0 && p.path[0] != "kms" && p.path[0] != "privateKeyProtection" {
						doc.(map[string]any)["kms"] = samples["#KMS"]
					}
					want := fmt.Sprintf("needs exactly one of %s; found %d", strings.Join(p.members, ", "), n)
					got := faults(def, doc)
					if hit := slices.ContainsFunc(got, func(f fault) bool { return isAt(f, p) && f.text == want }); hit != (n != 1) {
						t.Errorf("%d members: want %q at %v: %v, got %v\n%v", n, want, p.path, n != 1, got, doc)
					}
				}
			})
		}
	}
	for _, o := range oneOfs(t) {
		if !used[strings.Join(o.members, ",")] {
			t.Errorf("%s is used nowhere", o.name)
		}
	}
}

// isAt: the guard of a choice at the top has one of the choices as its path.
func isAt(f fault, p place) bool {
	if len(p.path) == 0 {
		return slices.Contains(p.members, f.path)
	}
	return f.path == strings.Join(p.path, ".")
}

type fault struct{ path, text string }

// faults returns what CUE finds, with the paths that guards mean.
func faults(def cue.Value, doc any) []fault {
	var all []fault
	err := def.Unify(cuecontext.New().Encode(doc)).Validate(cue.Concrete(true))
	for _, e := range errors.Errors(err) {
		path := errors.Path(e)
		path = path[min(1, len(path)):]
		if len(path) > 0 && path[0] == "_fault" {
			path = path[1:]
		}
		for i, p := range path {
			if u, err := strconv.Unquote(p); err == nil {
				path[i] = u
			}
		}
		format, args := e.Msg()
		all = append(all, fault{strings.Join(path, "."), fmt.Sprintf(format, args...)})
	}
	return all
}

package manifest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue"

	"github.com/panelmatch/panelmatch/schema"
	"github.com/panelmatch/panelmatch/schema/diag"
)

// complete is a valid manifest. Together with each of the fragments, as a
// second layer, it names every required setting of the schema.
const complete = `apiVersion: panelmatch/v1
kind: Deployment
profile: development
identity: {party: DATA_PROVIDER, id: edp1}
coordinator: {kingdom: {target: "k:8443", tls: {cert: env:C, key: env:K}}}
storage: {root: {url: "s3://edp1", auth: {aws: {assumeRole: {roleArn: "arn:aws:iam::123456789012:role/r"}}}}}
kms: {uri: local:keyset.json}
certificateAuthority:
  local: {rootCertificate: root.pem, rootKey: file:root.key}
  subject: {commonName: edp1.example, organization: Edp1, dnsName: edp1.example}
exchanges: {rx1: {shared: gs://b, inputs: [{label: a, path: b}]}}
secretMaps: {rootCertificates: {directory: {path: roots}}}
`

var fragments = []string{
	"coordinator: {checkpoint: {}}",
	"coordinator: {custom: {name: acme}}",
	"storage: {root: {custom: {name: acme}}}",
	"kms: {custom: {name: acme}}",
	"privateKeyProtection: {storage: {reason: the disks are encrypted and sealed}}",
	"privateKeyProtection: {kms: {uri: \"hcvault://vault:8200/transit/keys/k\", auth: {vault: {kubernetes: {role: r}}}}}",
	"kms: {uri: \"hcvault://vault:8200/transit/keys/k\", auth: {vault: {appRole: {roleID: env:R, secretID: env:S}}}}",
	"certificateAuthority: {googleCAS: {project: p, location: l, pool: p, authority: a}}",
	"certificateAuthority: {awsPrivateCA: {arn: \"arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/x\", signingAlgorithm: ECDSA_WITH_SHA256}}",
	"certificateAuthority: {vaultPKI: {address: \"https://v\", role: r, auth: {token: env:T}}}",
	"certificateAuthority: {externalSigner: {target: \"ca:1\"}}",
	"certificateAuthority: {custom: {name: acme}}",
	"secretMaps: {rootCertificates: {blob: {storage: gs://b}}}",
	"secretMaps: {rootCertificates: {csv: {path: a.csv}}}",
	"secretMaps: {rootCertificates: {vaultKV: {address: \"https://v\", auth: {token: env:T}}}}",
	"secretMaps: {rootCertificates: {grpc: {target: \"s:1\"}}}",
	"secretMaps: {rootCertificates: {custom: {name: acme}}}",
	"compute: {beam: {runner: dataflow, dataflow: {project: p, region: r, serviceAccount: a@b, tempLocation: gs://b/t}}}",
	"compute: {custom: {name: acme}}",
}

// writeYAML writes a node as YAML in flow style.
func writeYAML(n *node) string {
	switch n.kind {
	case textNode:
		return fmt.Sprintf("%q", n.text)
	case listNode:
		var parts []string
		for _, x := range n.items {
			parts = append(parts, writeYAML(x))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case mapNode:
		var parts []string
		for _, k := range n.keys {
			parts = append(parts, fmt.Sprintf("%q: %s", k, writeYAML(n.fields[k])))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return n.text
}

// eachRequired calls f for every required setting that n names.
func eachRequired(n *node, d *def, path []string, f func(parent *node, d *def, name string, path []string)) {
	if d == nil {
		return
	}
	switch n.kind {
	case mapNode:
		b := d.branch(n)
		b.expand()
		for _, k := range slices.Clone(n.keys) {
			x, _ := b.lookup(k)
			if b.fields[k].required {
				f(n, b, k, path)
			}
			eachRequired(n.fields[k], x, below(path, k), f)
		}
	case listNode:
		for _, a := range d.flat() {
			if a.kinds&cue.ListKind != 0 {
				a.expand()
				for i, x := range n.items {
					eachRequired(x, a.elem, below(path, index(i)), f)
				}
			}
		}
	}
}

func loadText(t *testing.T, text string) (*Loaded, diag.List) {
	t.Helper()
	return loadWith(context.Background(), schema.Files(), Sources{
		Files:    []string{"edp.yaml"},
		ReadFile: func(string) ([]byte, error) { return []byte(text), nil },
	})
}

func mergedWith(t *testing.T, fragment string) *Loaded {
	t.Helper()
	l, diags := loadWith(context.Background(), schema.Files(), Sources{
		Files: []string{"a.yaml", "b.yaml"},
		ReadFile: func(name string) ([]byte, error) {
			if name == "a.yaml" {
				return []byte(complete), nil
			}
			return []byte(fragment), nil
		},
	})
	if diags.HasErrors() {
		t.Fatalf("%s: %v", fragment, diags.Err())
	}
	return l
}

// TestEveryRequiredSettingIsMissedOnce removes and misspells each required
// setting of the schema in turn: there is exactly one error, at its place.
func TestEveryRequiredSettingIsMissedOnce(t *testing.T) {
	covered := map[string]bool{}
	done := map[string]bool{}
	for _, fragment := range append([]string{""}, fragments...) {
		l := mergedWith(t, fragment)
		eachRequired(l.tree, l.view.root, nil, func(parent *node, d *def, name string, path []string) {
			at := below(path, name)
			covered[requiredKey(d, name)] = true
			key := show(at)
			if done[key] {
				return
			}
			done[key] = true
			value := parent.fields[name]
			keys := slices.Clone(parent.keys)
			restore := func() { parent.keys = slices.Clone(keys); parent.fields[name] = value }

			parent.drop(name)
			removed := writeYAML(l.tree)
			restore()
			checkOne(t, "without "+key, removed, func(x diag.Diagnostic) bool {
				// A value that could be several things is itself at fault once it is empty.
				return (x.Path == key || len(keys) == 1 && len(path) > 0 && x.Path == show(path)) && (x.Code == diag.CodeMissing || x.Code == diag.CodeOneOf) && x.Pos.Line == 1
			})

			misspelt := name + "x"
			parent.put(misspelt, value)
			parent.drop(name)
			text := writeYAML(l.tree)
			delete(parent.fields, misspelt)
			restore()
			checkOne(t, "with misspelt "+key, text, func(x diag.Diagnostic) bool {
				return x.Path == show(below(path, misspelt)) && x.Code == diag.CodeUnknown && x.DidYouMean == name && x.Pos.Column > 0
			})
		})
	}
	w, err := newView(schema.Files())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	listRequired(w.root, nil, map[*def]bool{}, all)
	if len(all) < 30 {
		t.Fatalf("found only %d required settings in the schema", len(all))
	}
	for key, path := range all {
		if !covered[key] {
			t.Errorf("no fragment names the required setting %s", path)
		}
	}
}

// requiredKey identifies a setting of a definition, wherever the definition is used.
func requiredKey(d *def, name string) string {
	return strings.Join(d.names, ",") + " " + name
}

func listRequired(d *def, path []string, seen map[*def]bool, all map[string]string) {
	if d == nil || len(path) > 12 || seen[d] {
		return
	}
	seen[d] = true
	for _, a := range d.flat() {
		a.expand()
		for _, name := range a.names {
			f := a.fields[name]
			if f.required {
				if _, there := all[requiredKey(a, name)]; !there {
					all[requiredKey(a, name)] = show(below(path, name))
				}
			}
			listRequired(f.d, below(path, name), seen, all)
		}
		for _, p := range a.patterns {
			listRequired(p.d, below(path, "*"), seen, all)
		}
		listRequired(a.elem, below(path, "0"), seen, all)
	}
}

func checkOne(t *testing.T, what, text string, ok func(diag.Diagnostic) bool) {
	t.Helper()
	_, diags := loadText(t, text)
	if errs, _ := diags.Count(); errs != 1 || !ok(diags[0]) {
		t.Errorf("%s: want one error there, got %d:\n%v", what, errs, diags.Err())
	}
}

package manifest

import (
	"strconv"
	"strings"

	"cuelang.org/go/cue"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// decode fills a Manifest from a value that the schema has accepted.
func (l *loader) decode(out *Loaded) *Manifest {
	top := out.at()
	m := &Manifest{At: top.At}
	for _, part := range []struct {
		key  string
		into any
	}{
		{"apiVersion", &m.APIVersion},
		{"kind", &m.Kind},
		{"profile", &m.Profile},
		{"identity", &m.Identity},
		{"run", &m.Run},
		{"preprocessing", &m.Preprocessing},
		{"keys", &m.Keys},
		{"limits", &m.Limits},
		{"trust", &m.Trust},
		{"telemetry", &m.Telemetry},
	} {
		if s := top.Sub(part.key); s.Value.Exists() {
			l.add(s.Decode(part.into))
		}
	}
	l.identity(m, top)

	m.Root, _ = top.Storage("storage", "root")
	m.UseCases = map[UseCase]Storage{}
	m.SecretMaps = map[UseCase]Backend{}
	for _, u := range UseCases() {
		if s, ok := top.Storage("storage", string(u)); ok {
			m.UseCases[u] = s
		}
		if b := l.member(top, "secretMaps", string(u)); !b.IsZero() {
			m.SecretMaps[u] = b
		}
	}

	m.Coordinator = l.member(top, "coordinator")
	m.Compute = l.member(top, "compute")
	if d, _ := l.view.root.below("compute", "local"); d != nil && m.Compute.IsZero() {
		// Left out, it is local with its defaults.
		m.Compute = Backend{Name: "local", Path: "compute.local", Value: d.v, Dir: top.Dir}
	}
	m.KeyProtection.KMS, _ = top.KMS("kms")
	if k, ok := top.KMS("privateKeyProtection", "kms"); ok {
		m.KeyProtection.KMS = k
	}
	if s := top.Sub("privateKeyProtection", "storage"); s.Value.Exists() {
		l.add(s.Sub("reason").Decode(&m.KeyProtection.StorageReason))
	}

	m.CertificateAuthority.Backend = l.member(top, "certificateAuthority")
	for _, part := range []struct {
		key  string
		into any
	}{{"subject", &m.CertificateAuthority.Subject}, {"validity", &m.CertificateAuthority.Validity}} {
		if s := top.Sub("certificateAuthority", part.key); s.Value.Exists() {
			l.add(s.Decode(part.into))
		}
	}

	m.ExchangeDefaults = exchangeStorage(top, "exchangeDefaults")
	m.Exchanges = map[string]ExchangeStorage{}
	if x := top.Sub("exchanges"); x.Value.Exists() {
		it, err := x.Value.Fields()
		for err == nil && it.Next() {
			id := it.Selector().Unquoted()
			m.Exchanges[id] = l.exchange(top, id)
		}
	}
	return m
}

func (l *loader) add(more diag.List) { l.diags = append(l.diags, more...) }

func exchangeStorage(top Backend, path ...string) ExchangeStorage {
	var s ExchangeStorage
	s.Private, _ = top.Storage(below(path, "private")...)
	s.Shared, _ = top.Storage(below(path, "shared")...)
	return s
}

// exchange reads one of exchanges.
func (l *loader) exchange(top Backend, id string) ExchangeStorage {
	s := exchangeStorage(top, "exchanges", id)
	b := top.Sub("exchanges", id)
	if v, err := b.lookup([]string{"workflow"}).String(); err == nil {
		s.Workflow = b.Abs(v, "workflow")
	}
	if v, err := b.lookup([]string{"partnerRoot"}).String(); err == nil {
		s.PartnerRoot = b.Abs(v, "partnerRoot")
	}
	if in := b.Sub("inputs"); in.Value.Exists() {
		l.add(in.Decode(&s.Inputs))
		for i := range s.Inputs {
			s.Inputs[i].Path = in.Abs(s.Inputs[i].Path, strconv.Itoa(i), "path")
		}
	}
	return s
}

// identity cuts a resource name to its id.
func (l *loader) identity(m *Manifest, top Backend) {
	want := strings.TrimSuffix(m.Identity.ResourceName(), m.Identity.ID)
	for _, collection := range []string{"dataProviders/", "modelProviders/"} {
		id, ok := strings.CutPrefix(m.Identity.ID, collection)
		if !ok {
			continue
		}
		m.Identity.ID = id
		if collection != want {
			d := top.Fault(diag.CodeRule, "names a resource of the other party; the party is "+string(m.Identity.Party), "identity", "id")
			d.Hint = "write the bare id, or correct identity.party"
			l.diags = append(l.diags, d)
		}
	}
}

// member returns the backend that a one-of at path holds.
func (l *loader) member(top Backend, path ...string) Backend {
	d, _ := l.view.root.below(path...)
	v := top.lookup(path)
	if d == nil || !v.Exists() {
		return Backend{}
	}
	for _, a := range d.flat() {
		for _, members := range a.oneOfs {
			for _, name := range members {
				if v.LookupPath(cue.MakePath(cue.Str(name))).Exists() {
					b := top.Sub(below(path, name)...)
					b.Name = name
					return b
				}
			}
		}
	}
	return Backend{}
}

// at returns the whole manifest in the form of a backend, which knows places and directories.
func (l *Loaded) at() Backend {
	return Backend{
		Value: l.value,
		At: func(path ...string) diag.Position {
			n, whole := l.find(path)
			if whole && n.kind.scalar() {
				return n.val
			}
			return n.key
		},
		Dir: func(path ...string) string {
			n, _ := l.find(path)
			if n.src == nil {
				return "."
			}
			return n.src.dir
		},
	}
}

// find returns the node at path, or the nearest above it; whole tells which. An element that is a
// number is the index of a list. For a value in its short form (a URL) what is below it is the URL.
func (l *Loaded) find(path []string) (n *node, whole bool) {
	n = l.tree
	for _, e := range path {
		next := n.at(e)
		if i, err := strconv.Atoi(e); err == nil && n.kind == listNode {
			next = n.at(index(i))
		}
		if next == nil {
			return n, n.kind.scalar()
		}
		n = next
	}
	return n, true
}

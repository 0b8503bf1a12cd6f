package graph

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// kingdomExpiry is after which time a Kingdom takes a claimed step for lost.
const kingdomExpiry = 24 * time.Hour

// rules makes the checks across nodes that no schema can make. Each looks at
// the manifest on its own, so that all faults come out at once.
func (r *resolver) rules(checkpoint *checkpointSettings) {
	r.keyFamilies(checkpoint)
	r.recurringExchanges(checkpoint)
	r.sharedPlaces(checkpoint)
	r.developmentOnly()
	r.relaxations()
	r.fallbackKey(checkpoint)
	r.timeout(checkpoint)
}

// keyFamilies: exchange keys, the authority's key and the signatures of
// checkpoints must all be EC, or all RSA. The partner derives the signature
// algorithm of a blob from how the certificate is signed.
func (r *resolver) keyFamilies(checkpoint *checkpointSettings) {
	keys := r.m.Keys.Algorithm
	if keys == "" {
		return
	}
	related := []diag.Related{{Pos: r.m.Pos("keys", "algorithm"), Message: "keys.algorithm is " + visible(keys)}}
	for _, n := range r.g.nodes {
		ca := n.Attribute(provider.AttributeKeyAlgorithm)
		if n.Kind != KindCertificateAuthority || ca == "" || strings.EqualFold(ca, keys) {
			continue
		}
		r.report(diag.Diagnostic{
			Code: diag.CodeGraph, Path: n.path(), Pos: n.Pos,
			Message: fmt.Sprintf("the certificate authority signs with %s keys, but exchange keys are %s; both must be of one family", ca, visible(keys)),
			Hint:    fmt.Sprintf("set keys.algorithm to %s, or name an authority with %s keys", ca, visible(keys)),
			Related: related,
		})
	}
	if checkpoint == nil || checkpoint.Signature == "" {
		return
	}
	family := "RSA"
	if strings.HasSuffix(checkpoint.Signature, "ECDSA") {
		family = "EC"
	}
	if !strings.EqualFold(family, keys) {
		d := r.m.Coordinator.Fault(diag.CodeGraph, fmt.Sprintf("%s is made with %s keys, but exchange keys are %s; checkpoints are signed with exchange keys",
			visible(checkpoint.Signature), family, visible(keys)), "signature")
		d.Hint = fmt.Sprintf("use a signature of the family %s, such as %s", visible(keys), signatureOf(keys))
		d.Related = related
		r.report(d)
	}
}

func signatureOf(algorithm string) string {
	if strings.EqualFold(algorithm, "RSA") {
		return "SHA256withRSA"
	}
	return "SHA256withECDSA"
}

// recurringExchanges: without a Kingdom, the exchanges that are run and those
// that have settings should be the same.
func (r *resolver) recurringExchanges(checkpoint *checkpointSettings) {
	if checkpoint == nil {
		return
	}
	if len(checkpoint.RecurringExchanges) == 0 {
		d := r.m.Coordinator.Fault(diag.CodeMissing, "there is no recurring exchange to run; list them here, or give each its storage under exchanges", "recurringExchanges")
		r.report(d)
		return
	}
	if len(r.m.Exchanges) == 0 {
		return // all of them use exchangeDefaults
	}
	keys := sortedKeys(r.m.Exchanges)
	for i, id := range checkpoint.RecurringExchanges {
		if _, ok := r.m.Exchanges[id]; ok {
			continue
		}
		d := r.m.Coordinator.Fault(diag.CodeRisk, fmt.Sprintf("%q is run, but exchanges has no settings for it", visible(id)), "recurringExchanges", strconv.Itoa(i))
		d.Severity = diag.Warning
		d.DidYouMean, _ = diag.Closest(id, keys)
		d.Hint = "its storage comes from stored details or exchangeDefaults; add it under exchanges to say so"
		r.report(d)
	}
	for _, id := range keys {
		if slices.Contains(checkpoint.RecurringExchanges, id) {
			continue
		}
		d := diag.Diagnostic{
			Severity: diag.Warning, Code: diag.CodeRisk, Path: "exchanges." + quoteKey(id), Pos: r.m.Pos("exchanges", id),
			Message: fmt.Sprintf("%q has settings, but coordinator.checkpoint.recurringExchanges does not list it, so it is not run", visible(id)),
			Hint:    "add it to the list, or leave the list out to run all of exchanges",
		}
		d.DidYouMean, _ = diag.Closest(id, checkpoint.RecurringExchanges)
		r.report(d)
	}
}

// quoteKey writes a map key as a path has it.
func quoteKey(key string) string {
	plain := key != ""
	for i, c := range key {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			plain = false
		}
	}
	if plain {
		return key
	}
	return fmt.Sprintf("%q", key)
}

// named is a place with the setting that names it.
type named struct {
	place
	what, setting string
	pos           diag.Position
}

// sharedPlaces: what the partner can read must hold nothing that is ours alone.
func (r *resolver) sharedPlaces(checkpoint *checkpointSettings) {
	private, shared := r.places(checkpoint)
	for _, s := range shared {
		var hard, soft []diag.Related
		inside := false
		for _, p := range private {
			switch {
			case s.contains(p.place):
				hard = append(hard, diag.Related{Pos: p.pos, Message: p.setting + " is " + p.what})
			case p.contains(s.place) && !s.own:
				hard, inside = append(hard, diag.Related{Pos: p.pos, Message: p.setting + " is " + p.what + ", and contains it"}), true
			case p.contains(s.place), s.bucket == p.bucket && !s.own:
				soft = append(soft, diag.Related{Pos: p.pos, Message: p.setting + " is " + p.what})
			}
		}
		d := diag.Diagnostic{Path: s.setting, Pos: s.pos}
		switch {
		case len(hard) > 0:
			d.Code, d.Related = diag.CodeGraph, hard
			d.Message = fmt.Sprintf("one bucket is used as shared and as private storage: the partner could read what is in %s", pathsOf(hard))
			if inside && len(hard) == 1 {
				d.Message = fmt.Sprintf("shared storage lies inside private storage: a partner with access to the bucket could read what is in %s", pathsOf(hard))
			}
			d.Hint = "give private storage a bucket of its own, which the partner has no access to"
		case len(soft) > 0:
			d.Severity, d.Code, d.Related = diag.Warning, diag.CodeRisk, soft
			d.Message = fmt.Sprintf("shared storage is in the same bucket, or below the same directory, as %s; the partner's access must end at its prefix", pathsOf(soft))
			d.Hint = "a bucket of its own for shared storage is safer"
		default:
			continue
		}
		r.report(d)
	}
}

// pathsOf names the settings that related tells about.
func pathsOf(related []diag.Related) string {
	var paths []string
	for _, x := range related {
		path, _, _ := strings.Cut(x.Message, " is ")
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return shortList(paths)
}

// places lists where this party's own things lie, and what it shares, each place once.
func (r *resolver) places(checkpoint *checkpointSettings) (private, shared []named) {
	add := func(to *[]named, s manifest.Storage, what string) {
		if s.IsZero() {
			return
		}
		where := placeOf(s)
		for _, have := range *to {
			if have.place == where {
				return
			}
		}
		*to = append(*to, named{where, what, s.Path, s.Pos()})
	}
	add(&private, r.m.Root, "root storage")
	for _, u := range manifest.UseCases() {
		add(&private, r.m.UseCases[u], "the place of the "+useCaseLabels[u])
	}
	for _, id := range sortedKeys(r.m.Exchanges) {
		add(&private, r.m.Exchanges[id].Private, "private storage of "+visible(id))
		add(&shared, r.m.Exchanges[id].Shared, "shared storage of "+visible(id))
	}
	if r.usesDefault(checkpoint, Private) {
		add(&private, r.m.ExchangeDefaults.Private, "private storage by default")
	}
	if r.usesDefault(checkpoint, Shared) {
		add(&shared, r.m.ExchangeDefaults.Shared, "shared storage by default")
	}
	return private, shared
}

// usesDefault reports whether an exchange may come to use exchangeDefaults.
func (r *resolver) usesDefault(checkpoint *checkpointSettings, side Side) bool {
	return slices.ContainsFunc(r.exchangeIDs(checkpoint), func(id string) bool {
		return side.of(r.m.Exchanges[id]).IsZero()
	})
}

// developmentOnly: what loses data or shows keys does not belong into production.
func (r *resolver) developmentOnly() {
	if r.m.Profile == manifest.Development {
		return
	}
	for _, n := range r.g.nodes {
		if n.open == nil {
			continue // the provider has said so itself
		}
		d := diag.Diagnostic{Code: diag.CodeGraph, Path: n.path(), Pos: n.Pos}
		switch {
		case n.Kind == KindKMS && n.Provider == "local":
			d.Message = "a local: key lies in a file in clear text, which is for profile development only"
			d.Hint = "name a key of a key management service, or set profile: development"
		case n.Kind == KindStorage && n.Provider == "mem":
			d.Message = "mem:// storage is gone when the process ends, which is for profile development only"
			d.Hint = "name a bucket or a directory, or set profile: development"
		case n.Kind == KindCertificateAuthority && n.Provider == "local":
			d.Severity, d.Code = diag.Warning, diag.CodeRisk
			d.Message = "the root's private key is given to this process: who reads it can issue certificates in this party's name"
			d.Hint = "a certificate authority service keeps the key to itself"
		default:
			continue
		}
		r.report(d)
	}
}

// relaxations: whatever makes the deployment trust more than it must is said aloud.
func (r *resolver) relaxations() {
	if reason := r.m.KeyProtection.StorageReason; reason != "" && r.m.KeyProtection.KMS.IsZero() {
		r.report(diag.Diagnostic{
			Severity: diag.Warning, Code: diag.CodeRisk,
			Path: "privateKeyProtection.storage", Pos: r.m.Pos("privateKeyProtection", "storage"),
			Message: "private keys are stored as they are; the reason given: " + visible(reason),
			Hint:    "who can read that storage can sign as this party; a kms key would seal them",
		})
	}
	for i, name := range r.m.Trust.Allow {
		r.report(diag.Diagnostic{
			Severity: diag.Warning, Code: diag.CodeRisk,
			Path: fmt.Sprintf("trust.allow[%d]", i), Pos: r.m.Pos("trust", "allow", strconv.Itoa(i)),
			Message: fmt.Sprintf("%s relaxes what is demanded of the partner's certificates and blobs", visible(name)),
			Hint:    "remove it as soon as the partner no longer needs it",
		})
	}
}

// fallbackKey: without a Kingdom an exchange's own key is made before the fallback could be asked for.
func (r *resolver) fallbackKey(checkpoint *checkpointSettings) {
	if r.m.Keys.Fallback == "" || checkpoint == nil {
		return
	}
	r.report(diag.Diagnostic{
		Severity: diag.Warning, Code: diag.CodeRisk, Path: "keys.fallback", Pos: r.m.Pos("keys", "fallback"),
		Message: "without a Kingdom the fallback key is never used: claiming a step makes the exchange's own key first",
		Hint:    "leave keys.fallback out",
	})
}

// timeout: a step that runs longer than the Kingdom waits is run twice at once.
func (r *resolver) timeout(checkpoint *checkpointSettings) {
	if checkpoint != nil || r.m.Coordinator.IsZero() || r.m.Run.TaskTimeout.Std() < kingdomExpiry {
		return
	}
	r.report(diag.Diagnostic{
		Severity: diag.Warning, Code: diag.CodeRisk, Path: "run.taskTimeout", Pos: r.m.Pos("run", "taskTimeout"),
		Message: fmt.Sprintf("a step may run for %s, but a Kingdom hands it out again after 24h: two attempts would run at once", shortDuration(r.m.Run.TaskTimeout.Std())),
		Hint:    "stay below 24h, such as 23h30m",
	})
}

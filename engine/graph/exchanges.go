package graph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Backends that the engine has itself: they are made from other nodes, not by a factory.
const (
	checkpointName = "checkpoint"
	localName      = "local"
)

// PrivateDirectory is the sub-directory of root storage that holds the private
// storage of exchanges which have no other place for it.
const PrivateDirectory = "private-storage"

// Side is one of the two storages of an exchange.
type Side int

// The sides.
const (
	// Private storage is read and written by this party alone.
	Private Side = iota
	// Shared storage is read and written by both.
	Shared
)

// String returns private or shared.
func (s Side) String() string {
	if s == Shared {
		return "shared"
	}
	return "private"
}

// DetailsOf returns the use case that has the stored StorageDetails of a side.
func DetailsOf(side Side) manifest.UseCase { return side.useCase() }

// ParseExchangeID takes an id that ExchangeID made apart.
func ParseExchangeID(id string) (recurringExchange string, side Side, ok bool) {
	rest, ok := strings.CutPrefix(id, "exchange/")
	if !ok {
		return "", 0, false
	}
	for _, side := range []Side{Private, Shared} {
		if re, ok := strings.CutSuffix(rest, "/"+side.String()); ok {
			return re, side, true
		}
	}
	return "", 0, false
}

// useCase returns the map that has the stored details of the side.
func (s Side) useCase() manifest.UseCase {
	if s == Shared {
		return manifest.SharedStorageInfo
	}
	return manifest.PrivateStorageInfo
}

// of returns the storage of the side.
func (s Side) of(e manifest.ExchangeStorage) manifest.Storage {
	if s == Shared {
		return e.Shared
	}
	return e.Private
}

// checkpointSettings are those of the coordinator without a Kingdom.
type checkpointSettings struct {
	RecurringExchanges []string          `json:"recurringExchanges"`
	Lookback           manifest.Duration `json:"lookback"`
	Signature          string            `json:"signature"`
	EveryDay           bool              `json:"everyDay"`
}

// coordinator makes the node of the coordinator. It returns the settings of the
// checkpoint coordinator, or nil for another one.
func (r *resolver) coordinator() *checkpointSettings {
	b := r.m.Coordinator
	r.g.recurring = sortedKeys(r.m.Exchanges)
	if b.IsZero() {
		r.report(diag.Diagnostic{
			Code: diag.CodeMissing, Path: "coordinator", Pos: r.m.Pos("coordinator"),
			Message: "no coordinator is named; it says which step may run next",
		})
		return nil
	}
	n := &node{Node: Node{ID: "coordinator/" + visible(ownName(b)), Kind: KindCoordinator, Pos: b.Pos()}}
	n.use(b.Path)
	if b.Name != checkpointName {
		n.Label = "hands out steps"
		res, ok := resolveBackend(r, provider.KindCoordinator, r.t.Coordinator, b, scope{r, n})
		n.Provider, n.Attributes = visible(res.name), res.Attributes
		if ok {
			n.open = opener(res.Open)
		}
		r.add(n)
		return nil
	}
	var s checkpointSettings
	r.report(b.Decode(&s)...)
	if len(s.RecurringExchanges) == 0 {
		s.RecurringExchanges = sortedKeys(r.m.Exchanges)
	}
	r.g.recurring = slices.Compact(slices.Sorted(slices.Values(s.RecurringExchanges)))
	n.Label = "checkpoints in shared storage"
	n.Attributes = append(n.Attributes, provider.Attribute{Key: "recurringExchanges", Value: visible(shortList(r.g.recurring))})
	if s.Lookback != 0 {
		n.Attributes = append(n.Attributes, provider.Attribute{Key: "lookback", Value: shortDuration(s.Lookback.Std())})
	}
	if s.Signature != "" {
		n.Attributes = append(n.Attributes, provider.Attribute{Key: "signature", Value: visible(s.Signature)})
	}
	if s.EveryDay {
		n.Attributes = append(n.Attributes, provider.Attribute{Key: "everyDay", Value: "true"})
	}
	r.add(n)
	return &s
}

// shortList joins ids, and cuts a long list.
func shortList(ids []string) string {
	const most = 6
	if len(ids) <= most {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(ids[:most-1], ", "), len(ids)-most+1)
}

func shortDuration(d time.Duration) string {
	text, err := manifest.Duration(d).MarshalText()
	if err != nil {
		return d.String()
	}
	return string(text)
}

// exchanges makes two nodes for each recurring exchange that the manifest
// knows, and two for all others if a Kingdom may name them.
func (r *resolver) exchanges(checkpoint *checkpointSettings) {
	for _, id := range r.exchangeIDs(checkpoint) {
		for _, side := range []Side{Private, Shared} {
			r.exchange(id, side)
		}
	}
}

// exchangeIDs returns the recurring exchanges that have nodes.
func (r *resolver) exchangeIDs(checkpoint *checkpointSettings) []string {
	ids := sortedKeys(r.m.Exchanges)
	if checkpoint == nil {
		return append(ids, AnyExchange)
	}
	ids = append(ids, r.g.recurring...)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// What a need of an exchange's storage says about its turn.
const (
	asManifest = "from the manifest"
	asStored   = "stored details, if any"
	asDefault  = "else the default"
	asRoot     = "else " + PrivateDirectory + "/"
)

// exchange makes the node of one side of one recurring exchange. Which storage
// it is follows from the first of these that is there: the exchange's own
// setting; the StorageDetails stored for it, which only a run can tell;
// exchangeDefaults; and for private storage a sub-directory of root storage.
func (r *resolver) exchange(id string, side Side) {
	n := &node{Node: Node{ID: ExchangeID(visible(id), side), Kind: KindExchangeStorage}}
	own := side.of(r.m.Exchanges[id])
	fallback := side.of(r.m.ExchangeDefaults)
	switch {
	case !own.IsZero():
		n.Label, n.Pos = "given by the manifest", own.Pos()
		n.use(own.Path)
		n.need(r.storage(own, "storage/exchanges."+visible(id)+"."+side.String()).ID, asManifest)
		r.add(n)
		return
	case !fallback.IsZero():
		n.Label, n.Pos = "by default", fallback.Pos()
		n.use(fallback.Path)
		r.needDetails(n, side)
		n.need(r.storage(fallback, "storage/exchangeDefaults."+side.String()).ID, asDefault)
	case side == Private && !r.m.Root.IsZero():
		n.Label, n.Pos = "by default below root storage", r.m.Root.Pos()
		r.needDetails(n, side)
		n.need(r.storage(r.m.Root, IDRoot).ID, asRoot)
	default:
		n.Label = "only as stored details say"
		n.Pos = r.m.Pos("exchanges", id)
		r.needDetails(n, side)
	}
	n.Attributes = append(n.Attributes, provider.Attribute{Key: "known", Value: "at run time"})
	r.add(n)
}

func (r *resolver) needDetails(n *node, side Side) {
	if u := UseCaseID(side.useCase()); r.g.byID[u] != nil {
		n.need(u, asStored)
	}
}

// built makes the nodes of what the engine builds from others: compute, trust
// and the daemon.
func (r *resolver) built(checkpoint *checkpointSettings) {
	compute := r.compute()
	trust := &node{Node: Node{ID: IDTrust, Kind: KindTrust, Label: "certificates and signing keys", Pos: r.m.Pos("trust")}}
	daemon := &node{Node: Node{ID: IDDaemon, Kind: KindDaemon, Pos: r.m.Pos("run")}}
	daemon.Label = visible(fmt.Sprintf("%s, %s", r.m.Identity.ResourceName(), strings.ToLower(string(cmp.Or(r.m.Run.Mode, manifest.Daemon)))))
	daemon.Attributes = append(daemon.Attributes, provider.Attribute{Key: "profile", Value: visible(string(r.m.Profile))})

	trust.need(IDKeyProtection, "")
	for _, n := range r.g.nodes {
		if n.Kind == KindCertificateAuthority {
			trust.need(n.ID, "issues")
		}
	}
	r.needUseCase(trust, manifest.RootCertificates)
	if len(r.m.Trust.Allow) > 0 {
		trust.Attributes = append(trust.Attributes, provider.Attribute{Key: "allow", Value: visible(strings.Join(r.m.Trust.Allow, ", "))})
	}
	// A Kingdom keeps certificates and hands out steps; without one, certificates and checkpoints lie in
	// shared storage, and checkpoints are signed with keys that trust has.
	for _, n := range slices.Clone(r.g.nodes) {
		switch {
		case n.Kind == KindCoordinator && checkpoint == nil:
			trust.need(n.ID, "certificates")
			daemon.need(n.ID, "")
		case n.Kind == KindCoordinator:
			n.need(IDTrust, "signs checkpoints")
			r.needUseCase(n, manifest.ValidExchangeWorkflows)
			r.needShared(n, checkpoint, "checkpoints")
			r.needUseCase(trust, manifest.ValidExchangeWorkflows)
			r.needShared(trust, checkpoint, "certificates")
			daemon.need(n.ID, "")
		}
	}
	daemon.need(IDTrust, "")
	r.needUseCase(daemon, manifest.ValidExchangeWorkflows)
	for _, n := range r.g.nodes {
		if n.Kind == KindExchangeStorage {
			daemon.need(n.ID, "")
		}
	}
	if compute != nil {
		daemon.need(compute.ID, "")
	}
	r.add(trust)
	r.add(daemon)
}

// needShared adds edges to the shared storage of the exchanges that are coordinated by checkpoints.
func (r *resolver) needShared(n *node, checkpoint *checkpointSettings, as string) {
	for _, id := range r.g.recurring {
		if slices.Contains(checkpoint.RecurringExchanges, id) {
			n.need(ExchangeID(visible(id), Shared), as)
		}
	}
}

// compute makes the node of what runs data-heavy steps; the engine's own if
// the manifest names none.
func (r *resolver) compute() *node {
	b := r.m.Compute
	if name := ownName(b); name != "" && name != localName {
		r.report(notInBuild(provider.KindCompute, b, name, []string{localName}))
		return nil
	}
	n := &node{Node: Node{ID: "compute/" + localName, Kind: KindCompute, Label: "this process", Pos: b.Pos()}}
	n.use(b.Path)
	if b.Value.Exists() {
		for _, key := range []string{"workers", "memory", "scratch"} {
			v := lookup(b.Value, key)
			if !v.Exists() {
				continue
			}
			shown := text(v)
			if shown == "" {
				data, err := v.MarshalJSON()
				if err != nil || string(data) == `""` {
					continue
				}
				shown = string(data)
			}
			n.Attributes = append(n.Attributes, provider.Attribute{Key: key, Value: visible(shown)})
		}
	}
	return r.add(n)
}

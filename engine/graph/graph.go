// Package graph turns a manifest into the providers that a deployment is made
// of, and opens them. It has three verbs: nodes are created, they are
// connected, they are opened in the order of their needs (and closed in the
// reverse of it).
//
// Resolve does the first two from a manifest and a table of providers. It is
// pure: no file is read, nothing is dialled, no secret is resolved. Open does
// the third. What comes out gives typed access to storage, key management,
// certificate authority and secret maps; package engine builds the daemon on
// top of it. This package runs no exchange and knows no product.
package graph

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Kind says what a node is.
type Kind string

// The kinds. The first six are opened through the provider table; the others
// are built by the engine from nodes that they need.
const (
	KindStorage              Kind = Kind(provider.KindStorage)
	KindKMS                  Kind = Kind(provider.KindKMS)
	KindCertificateAuthority Kind = Kind(provider.KindCertificateAuthority)
	KindSecretMap            Kind = Kind(provider.KindSecretMap)
	KindCoordinator          Kind = Kind(provider.KindCoordinator)
	KindCompute              Kind = Kind(provider.KindCompute)
	KindKeyProtection        Kind = "keyProtection"   // signing keys as they are stored
	KindExchangeStorage      Kind = "exchangeStorage" // private or shared storage of one recurring exchange
	KindTrust                Kind = "trust"           // certificates and signing keys
	KindDaemon               Kind = "daemon"          // what runs exchanges
)

// Ids of nodes that a resolved graph has once.
const (
	IDRoot          = "storage/root"
	IDKMS           = "kms/key"
	IDKeyProtection = "keys/privateKeys"
	IDTrust         = "trust/manager"
	IDDaemon        = "daemon"
)

// UseCaseID returns the id of the node of a use case's map.
func UseCaseID(u manifest.UseCase) string { return "secretmap/" + string(u) }

// ExchangeID returns the id of the node of an exchange's private or shared
// storage; AnyExchange stands for the exchanges that the manifest doesn't name.
func ExchangeID(recurringExchange string, side Side) string {
	return "exchange/" + recurringExchange + "/" + side.String()
}

// AnyExchange is the recurring exchange id of nodes that stand for all
// exchanges which the manifest does not name.
const AnyExchange = "*"

// Need is an edge: a node can't be opened before the one that it needs.
type Need struct {
	// ID is the node that is needed.
	ID string `json:"id"`
	// As says what for, such as the sub-directory that is used; it may be empty.
	As string `json:"as,omitempty"`
}

// Node is one configured provider, or one thing that is built from others.
// Nothing in it is secret.
type Node struct {
	// ID is the node's name in the graph, such as storage/root.
	ID   string
	Kind Kind
	// Provider is the name of the provider that opens the node (file, vaultPKI); empty for what the
	// engine builds itself.
	Provider string
	// Label says in a few words what the node is: its URL without credentials, its subject.
	Label string
	// Attributes are further facts, in the order in which people should see them.
	Attributes []provider.Attribute
	// Uses lists the paths of the settings that name the node; more than one if equal settings share it.
	Uses []string
	// Needs lists what must be open before this node, in the order in which people should see it.
	Needs []Need
	// Pos is where the manifest names the node first.
	Pos diag.Position
}

// clone copies n deeply, so that callers can't reach into the graph.
func (n Node) clone() Node {
	n.Attributes = slices.Clone(n.Attributes)
	n.Uses = slices.Clone(n.Uses)
	n.Needs = slices.Clone(n.Needs)
	return n
}

// Attribute returns the value of the attribute called key, or "".
func (n Node) Attribute(key string) string {
	for _, a := range n.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// node is a Node with what opens it.
type node struct {
	Node
	open Opener
	// storage tells a storage node's place, for comparisons; nil for other kinds.
	storage *place
}

// Graph is a set of nodes that need each other. Build one with Resolve, or
// with New and Add. A Graph may be read from several goroutines once it is
// built; it can be open once at a time.
type Graph struct {
	manifest  *manifest.Manifest
	table     provider.Table
	recurring []string
	nodes     []*node // in the order of addition
	byID      map[string]*node
	byKey     map[string]*node // storage and KMS nodes by their canonical settings

	isOpen atomic.Bool
	mu     sync.RWMutex
	values map[string]io.Closer
}

// New makes an empty graph, for programs and tests that put one together by hand.
func New() *Graph {
	return &Graph{byID: map[string]*node{}, byKey: map[string]*node{}, values: map[string]io.Closer{}}
}

// Add puts a node into the graph. A nil open means that the node is built by
// someone else: it takes its place in the order, and opening it does nothing.
// What n needs may be added later; Validate and Open find out what is missing.
// Add fails if the id is empty or taken.
func (g *Graph) Add(n Node, open Opener) error {
	if n.ID == "" {
		return fmt.Errorf("a node of kind %s has no id", n.Kind)
	}
	if _, ok := g.byID[n.ID]; ok {
		return fmt.Errorf("node %s is there already; ids are unique in a graph", n.ID)
	}
	g.put(&node{Node: n.clone(), open: open})
	return nil
}

func (g *Graph) put(n *node) {
	g.nodes = append(g.nodes, n)
	g.byID[n.ID] = n
}

// Nodes returns copies of all nodes, each after those that it needs; equal
// manifests give equal results. Nodes of a graph that has a circle or a missing
// node come in the order of their addition.
func (g *Graph) Nodes() []Node {
	order, ok := g.order()
	if !ok {
		order = g.nodes
	}
	out := make([]Node, len(order))
	for i, n := range order {
		out[i] = n.clone()
	}
	return out
}

// Node returns a copy of the node with the given id.
func (g *Graph) Node(id string) (Node, bool) {
	n, ok := g.byID[id]
	if !ok {
		return Node{}, false
	}
	return n.clone(), true
}

// RecurringExchanges returns the ids that the manifest knows, sorted: those of
// the checkpoint coordinator, or else the keys of exchanges.
func (g *Graph) RecurringExchanges() []string { return slices.Clone(g.recurring) }

// Manifest returns what the graph was resolved from; nil for a graph that was put together by hand.
func (g *Graph) Manifest() *manifest.Manifest { return g.manifest }

// value returns what node id was opened as, or nil.
func (g *Graph) value(id string) io.Closer {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.values[id]
}

func (g *Graph) setValue(id string, v io.Closer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v == nil {
		delete(g.values, id)
	} else {
		g.values[id] = v
	}
}

// order returns the nodes so that each stands behind what it needs; among those
// that could come next, the one that was added first. It fails if there is a
// circle or a missing node.
func (g *Graph) order() ([]*node, bool) {
	waits := make(map[string]int, len(g.nodes))
	dependents := make(map[string][]*node, len(g.nodes))
	for _, n := range g.nodes {
		for _, id := range n.neededIDs() {
			if _, ok := g.byID[id]; !ok {
				return nil, false
			}
			waits[n.ID]++
			dependents[id] = append(dependents[id], n)
		}
	}
	index := make(map[*node]int, len(g.nodes))
	var ready intHeap
	for i, n := range g.nodes {
		index[n] = i
		if waits[n.ID] == 0 {
			ready.push(i)
		}
	}
	out := make([]*node, 0, len(g.nodes))
	for len(ready) > 0 {
		n := g.nodes[ready.pop()]
		out = append(out, n)
		for _, d := range dependents[n.ID] {
			if waits[d.ID]--; waits[d.ID] == 0 {
				ready.push(index[d])
			}
		}
	}
	return out, len(out) == len(g.nodes)
}

// neededIDs returns the ids of n's needs, each once.
func (n *node) neededIDs() []string {
	ids := make([]string, 0, len(n.Needs))
	seen := make(map[string]struct{}, len(n.Needs))
	for _, need := range n.Needs {
		if _, ok := seen[need.ID]; !ok {
			seen[need.ID] = struct{}{}
			ids = append(ids, need.ID)
		}
	}
	return ids
}

// need adds an edge, unless an equal one is there.
func (n *node) need(id, as string) {
	if !slices.Contains(n.Needs, Need{id, as}) {
		n.Needs = append(n.Needs, Need{id, as})
	}
}

// use notes that the setting at path names n.
func (n *node) use(path string) {
	if path != "" && !slices.Contains(n.Uses, path) {
		n.Uses = append(n.Uses, path)
	}
}

// Validate reports every node that is needed and not there, and every circle
// of nodes that need each other, as a readable chain. It does not stop at the
// first.
func (g *Graph) Validate() diag.List {
	var diags diag.List
	ids := make([]string, len(g.nodes))
	for i, n := range g.nodes {
		ids[i] = n.ID
	}
	for _, n := range g.nodes {
		for _, id := range n.neededIDs() {
			if _, ok := g.byID[id]; ok {
				continue
			}
			d := diag.Diagnostic{
				Code: diag.CodeMissingNode, Pos: n.Pos, Path: n.path(),
				Message: fmt.Sprintf("%s needs %s, which is not in the graph", n.ID, id),
			}
			d.DidYouMean, _ = diag.Closest(id, ids)
			diags = append(diags, d)
		}
	}
	for _, cycle := range g.cycles() {
		chain := make([]string, 0, len(cycle)+1)
		for _, n := range cycle {
			chain = append(chain, n.ID)
		}
		chain = append(chain, cycle[0].ID)
		diags = append(diags, diag.Diagnostic{
			Code: diag.CodeCycle, Pos: cycle[0].Pos, Path: cycle[0].path(),
			Message: "nodes need each other in a circle: " + strings.Join(chain, " -> "),
			Hint:    "each arrow reads \"needs\"; one of them must go before anything can be opened",
		})
	}
	return diags
}

// path returns the setting that names n first, or its id.
func (n *node) path() string {
	if len(n.Uses) > 0 {
		return n.Uses[0]
	}
	return n.ID
}

// cycles returns one circle for each knot of nodes that need each other,
// beginning with the node that was added first. Within a knot it is the
// shortest circle through that node; among equally short ones, the one whose
// needs come first.
func (g *Graph) cycles() [][]*node {
	var found [][]*node
	done := map[*node]bool{}
	for _, start := range g.nodes {
		if done[start] {
			continue
		}
		cycle := g.shortestCycle(start)
		if cycle == nil {
			continue
		}
		found = append(found, cycle)
		for _, n := range g.knot(start) {
			done[n] = true
		}
	}
	return found
}

// shortestCycle finds the way from start back to itself, breadth first, or nil.
func (g *Graph) shortestCycle(start *node) []*node {
	from := map[*node]*node{start: nil}
	queue := []*node{start}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		for _, id := range n.neededIDs() {
			next := g.byID[id]
			if next == start {
				var cycle []*node
				for at := n; at != nil; at = from[at] {
					cycle = append(cycle, at)
				}
				slices.Reverse(cycle)
				return cycle
			}
			if _, seen := from[next]; next != nil && !seen {
				from[next] = n
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// knot returns the nodes that start needs, directly or not, and that need start.
func (g *Graph) knot(start *node) []*node {
	var out []*node
	for n := range g.reach(start) {
		if _, back := g.reach(n)[start]; back {
			out = append(out, n)
		}
	}
	return out
}

// reach returns everything that n needs, directly or not.
func (g *Graph) reach(n *node) map[*node]struct{} {
	seen := map[*node]struct{}{}
	stack := []*node{n}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, id := range at.neededIDs() {
			next := g.byID[id]
			if next == nil {
				continue
			}
			if _, ok := seen[next]; !ok {
				seen[next] = struct{}{}
				stack = append(stack, next)
			}
		}
	}
	return seen
}

// intHeap is a small priority queue: the lowest index first.
type intHeap []int

func (h *intHeap) push(v int) {
	i, _ := slices.BinarySearchFunc(*h, v, func(a, b int) int { return b - a })
	*h = slices.Insert(*h, i, v)
}

func (h *intHeap) pop() int {
	last := len(*h) - 1
	v := (*h)[last]
	*h = (*h)[:last]
	return v
}

// Package rlwe is the lattice arithmetic under package membership: polynomials
// modulo x^N + 1 over Z_q, their number-theoretic transform, the seeded
// generator and samplers, BGV encryption and decryption, Galois keys, oblivious
// expansion and the modulus switch. Its bytes are those of Google's
// shell-encryption library, as the reference Panel Exchange Client uses it: all
// arithmetic is exact, so equal inputs give equal bytes.
//
// It knows nothing of buckets, queries or shards: that is package membership.
//
// # Layers
//
//	scheme   keys.go encrypt.go galois.go expand.go switch.go noise.go
//	ring     ring.go wire.go sample.go prng.go     what every engine shares
//	engine   engine.go                             the seam
//	         engine101.go ntt101.go                q = 2^101 - 1171455, portable
//	         engine30.go                           q below 2^30, portable
//	         enginegeneric.go                      any other prime below 2^126
//
// A layer uses only the layers below it.
//
// # Polynomials
//
// A polynomial is a flat slice of words, in groups of eight coefficients. What
// the words of a group mean is private to the engine that wrote them: an engine
// is chosen once per modulus, when the ring is made, and engines meet only in
// wire bytes. Groups of one polynomial need not be neighbours: where a function
// takes a stride, that is the number of words from one group to the next.
//
// # Scale
//
// The wire holds the residue v as v*2^128 mod q, whatever q is. Values read
// from the wire keep that factor; they are called scaled here. A product of a
// scaled and a plain value is scaled. Ring.Inverse takes the factor off, together
// with 1/N, so that coefficients are always plain.
//
// # Secrets
//
// Secret keys and errors are handled without branches or table look-ups that
// depend on them, as far as Go allows it; no promise is made against an observer
// on the same core.
package rlwe

// Package commutative is the deterministic commutative cipher that blinds join keys: elliptic-curve
// scalar multiplication on NIST P-256, as the reference implementation of the protocol has it. Two
// parties' encryptions commute, so what both have encrypted can be compared, and each can take its own
// encryption off again:
//
//	Encrypt(k, m)   = [k] H(m)        H hashes any byte string to a point
//	ReEncrypt(k, P) = [k] P
//	Decrypt(k, P)   = [1/k mod n] P
//
// Results are SEC 1 compressed points of 33 bytes. Equal inputs give equal outputs, which is what
// makes the join work: it is not a cipher for anything but join keys. Decrypting an Encrypt gives
// H(m), never m.
//
// A batch multiplies eight points at a time where the processor has AVX-512 IFMA (package lanes), and
// otherwise, as for single elements, one at a time with filippo.io/nistec. Both give the same bytes.
//
// # What is constant time
//
// Everything that depends on the key is: reading and writing it, its inverse, and the scalar
// multiplication, which takes the same steps and touches the same memory whatever the key is. What depends on the
// data is not all constant time: hashing to the curve tries candidates until one is an x coordinate,
// so the time tells how many tries a join key took; the number of leading zero bytes of a rejected
// candidate, and whether an encoded point is one, are branched on too. An observer of timing would
// learn a few bits about a join key that is processed in a batch of many, and nothing about the key.
//
// The package knows neither join-key messages nor identifiers: package step wraps it.
package commutative

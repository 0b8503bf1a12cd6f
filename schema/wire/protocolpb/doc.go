// Package protocolpb holds the signature of a shared blob, and in-process
// messages of the deterministic commutative cipher (wfa.panelmatch.protocol).
// Generated: edit the .proto files.
package protocolpb

// Package rlwepb holds serialized lattice objects (rlwe, proto2): polynomials,
// ciphertexts, key-switching keys. The reference sets every field, also to zero
// values: writers here must do the same. Generated: edit the .proto file.
package rlwepb

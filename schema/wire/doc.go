// Package wire is the home of everything that crosses the wire or lies in
// storage as a protocol buffer: one sub-directory per proto package, with the
// .proto files and the Go generated from them. The package itself holds only
// the tests that pin every name, number and type.
//
// It is not an API of this product's own: all of it is given by the partner's
// software. Logic about messages lives in the engine.
package wire

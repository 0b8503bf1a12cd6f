// Package configpb holds the Kingdom's map from client certificates to parties
// (wfa.measurement.config). Generated: edit the .proto file.
package configpb

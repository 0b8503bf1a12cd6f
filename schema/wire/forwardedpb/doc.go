// Package forwardedpb holds the forwarded storage service
// (wfa.measurement.internal.testing). Generated: edit the .proto file.
package forwardedpb

// Package v2alpha holds the messages and gRPC services of the Kingdom
// (wfa.measurement.api.v2alpha): exchanges, steps, attempts, certificates, and
// the workflow as a Kingdom hands it out. Only what a panel exchange needs; it
// is not the whole public API. Generated: edit the .proto files.
package v2alpha

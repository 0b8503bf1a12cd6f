// Package eventpb holds events before encryption (wfa.panelmatch.client).
// Generated: edit the .proto file.
package eventpb

// Package batchpb holds the messages of batch private membership
// (private_membership.batch): parameters, keys, encrypted queries and results.
// Generated: edit the .proto files.
package batchpb

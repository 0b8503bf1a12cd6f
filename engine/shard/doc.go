// Package shard reads and writes sharded data: a manifest blob that names N
// shard blobs, each a stream of records. Names and formats are those of the
// protocol between the parties.
//
// It does not know what a record is, which shard a record belongs to, or who
// works on shards in parallel: package dataflow does.
package shard

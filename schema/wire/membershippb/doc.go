// Package membershippb holds the blobs and shard records of the
// private-membership flow (wfa.panelmatch.client.privatemembership). It is not
// the lattice library's format: that is batchpb. Generated: edit the .proto file.
package membershippb

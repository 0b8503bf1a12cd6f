// Package membership is batch private membership: one party (the asker, an MP)
// reads buckets of another party's sharded database (the holder, an EDP) without
// showing which ones. Its bytes are those of google/private-membership as the
// reference Panel Exchange Client uses it.
//
// # The protocol
//
//	asker                                   holder
//	Scheme.GenerateKeys
//	  private key      public key ------->  Scheme.NewEvaluator
//	PrivateKey.EncryptQueries ----------->  Shard.Apply
//	PrivateKey.DecryptResult  <-----------    emits a result per query
//
// A bucket's number is written in base npl = ceil(nb^(1/L)), and each of the L
// digits is sent as npl encrypted bits ("slots"), of which one is 1. The holder
// multiplies every bucket by the bit of its lowest digit and adds up, which
// leaves one encrypted bucket per higher digits; and so on for L levels.
//
// # Cost
//
// In the standard set a bucket of up to 508 bytes is one polynomial of 64 KiB in
// memory, so an encoded database is 128 times its contents. It is encoded once
// per shard if the memory budget allows, block by block otherwise: see Options.
//
// It does not know join keys, events, files or sharding by hash: that is the
// steps' business. It does not check that a query asks for something sensible:
// it cannot.
package membership

// Package blob gives the engine its blobs: a Store is one place of a bucket
// (root storage, or the private or shared storage of one exchange) with size
// limits, retries, sorted and redacted errors, and writes that happen whole or
// not at all. It is the only package that knows key layouts.
//
// It opens no bucket (providers do), verifies no signature (package trust
// does), and does not look into blobs.
//
// All of a Store is on top of gocloud.dev's portable bucket, so that a driver
// needs to know nothing of it.
package blob

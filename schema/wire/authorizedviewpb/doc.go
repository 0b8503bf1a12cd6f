// Package authorizedviewpb holds the rows and blobs of the authorized-view flow
// (wfa.panelmatch.client.authorizedview). Generated: edit the .proto file.
package authorizedviewpb

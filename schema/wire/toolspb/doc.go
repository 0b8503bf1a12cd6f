// Package toolspb holds decrypted results in readable form
// (wfa.panelmatch.client.tools). Generated: edit the .proto file.
package toolspb

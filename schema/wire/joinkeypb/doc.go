// Package joinkeypb holds join keys and their identifiers
// (wfa.panelmatch.client.exchangetasks). Generated: edit the .proto file.
package joinkeypb

// Package commonpb holds what several flows share (wfa.panelmatch):
// compression parameters and signing keys. Generated: edit the .proto files.
package commonpb

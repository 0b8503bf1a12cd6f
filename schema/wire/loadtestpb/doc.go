// Package loadtestpb holds the settings of forwarded storage
// (wfa.panelmatch.client.loadtest). Generated: edit the .proto file.
package loadtestpb

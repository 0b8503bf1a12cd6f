// Package virtualpeoplepb holds virtual people events (wfa_virtual_people), which
// some data providers use as payloads. Panel matching never looks inside; only
// the data commands do. Generated: edit the .proto file.
package virtualpeoplepb

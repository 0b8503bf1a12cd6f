// Package internalpb holds what parties exchange without a Kingdom
// (wfa.panelmatch.client.internal): workflow, checkpoints, certificates. It has
// no logic; engine/workflow reads and judges workflows. Generated: edit the
// .proto files.
package internalpb

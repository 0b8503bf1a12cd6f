// Package workflow is the model of what two parties agreed to run: an
// ordered list of steps, each owned by one party, wired together by blob
// labels.
//
// It parses workflows in every form in which they exist (binary and text of
// both proto schemas; JSON, YAML and CUE of the internal one), converts
// between them, derives which step waits for which, finds faults before a
// partner does (Lint), does the arithmetic of schedules, and draws pictures.
// The step table (SpecOf) says which labels each step type takes and gives;
// package step implements those types from the same table.
//
// The package does no I/O, and it does not know how a step works or where
// blobs are kept.
//
// Two things about bytes. A workflow's fingerprint is the SHA-256 of the
// bytes as they were received: nothing here ever re-encodes a binary
// workflow. And everything that is parsed may come from the partner, so it is
// bounded (MaxBytes, MaxSteps) and never makes a function here panic.
package workflow

// Package e2e holds tests that run both parties of an exchange to its end:
// the daemons of two ordinary manifests, in one process or as two processes of
// the real binary, over directories. It looks at what they leave with nothing
// of theirs: files, crypto/x509 and the wire's messages.
//
// It has no code but tests. Tests of one step, of the loop and of the
// coordinator stand beside those.
package e2e

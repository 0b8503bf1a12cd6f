// Package trust is about who says what: this party's exchange certificates and
// signing keys, the signatures of blobs that both parties share, and whether
// the partner's are to be believed.
//
// From the bottom up: Algorithm, Signer and Verifier are the six signature
// algorithms of the protocol; Sealer protects private keys where they are
// stored; KeyStore keeps them by exchange; Policy judges certificates; Manager
// puts these together; WriteSigned and ReadVerified move blobs.
//
// It opens no storage, no key management and no certificate authority
// (providers do, package graph connects them), and it decides about no step.
//
// Errors about bytes that are not what they should be wrap
// provider.ErrRejected and are sorted for package failure. No error holds
// anything of a key.
package trust

// Package lanes does arithmetic on eight points of P-256 at a time, all multiplied by one secret
// scalar, with the 52-bit multiplications of AVX-512 IFMA: several times what one point at a time can
// do. It is for package commutative only, which has another way where Available says no.
//
// Nothing here depends on the scalar but the data: its digits are looked up by reading the whole table,
// signs are taken by masks, and the steps are the same for all scalars. What says whether a coordinate
// is on the curve is branched on by the caller, and is not secret.
package lanes

// Width is how many points are processed at a time.
const Width = 8

// Numbers are integers below 2^256, one for each lane, least significant limb first.
type Numbers [Width][4]uint64

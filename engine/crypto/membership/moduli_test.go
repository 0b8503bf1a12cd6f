package membership

// largestModulus is the largest prime below 2^126 that is 1 modulo 2^13.
var largestModulus = []uint64{18446744073709355009, 4611686018427387903}

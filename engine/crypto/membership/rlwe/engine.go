package rlwe

// groupSize is the number of coefficients in a group: the lanes of the widest
// vector unit an engine is planned for.
const groupSize = 8

// engine is the seam under which arithmetic modulo one prime is done: portable
// Go here, vector units behind the same functions. A ring chooses its engine
// when it is made.
//
// What an engine may rely on: slices are long enough; strides are in words and
// at least groupWords; operands are not aliased unless said; every operand was
// written by the same engine and is in normal form.
//
// What it must do: keep to these rules, which callers rely on.
//   - A polynomial is n/8 groups (rounded up) of groupWords words. A group of zero
//     words is eight zeros.
//   - Normal form is the engine's own: any representative that its other functions
//     take. store alone must give the canonical one.
//   - Transforms are in the engine's own order; load and store with ntt = true
//     convert from and to wire order.
//   - No allocation, no state: an engine is used by many goroutines at once.
//   - No call runs longer than about a millisecond, so that a goroutine can be
//     stopped between calls.
type engine interface {
	// name identifies the engine in benchmarks and test output.
	name() string
	// groupWords is the length of a group.
	groupWords() int
	// maxTerms is the number of products that rowSums and cross can add up.
	maxTerms() int

	// load converts canonical values, coefficients or (ntt) a transform in wire order.
	load(dst []uint64, stride int, src []uint128, ntt bool)
	// store is the inverse of load.
	store(dst []uint128, src []uint64, stride int, ntt bool)
	// loadInts converts coefficients that may be negative; |v| < 2^62.
	loadInts(dst []uint64, stride int, src []int64)

	// forward transforms coefficients in place.
	forward(p []uint64, stride int)
	// inverse takes a transform to coefficients times 2^-128, in place.
	inverse(p []uint64, stride int)
	// digits cuts each coefficient of src, as a canonical integer, into count digits
	// of logBase bits, the lowest first, and transforms each digit's polynomial. Digit
	// i of group g begins at dst[(g*count+i)*groupWords]. src is contiguous and is
	// overwritten.
	digits(dst, src []uint64, logBase uint, count int)

	// add, sub and mul are point-wise on contiguous polynomials; z may be x or y.
	add(z, x, y []uint64)
	sub(z, x, y []uint64)
	mul(z, x, y []uint64)
	// substitution returns what permute needs to take the transform of f(x) to that
	// of f(x^power), for odd power.
	substitution(power int) []uint32
	// permute applies a substitution to a contiguous polynomial.
	permute(dst, src []uint64, table []uint32)

	// keySums sets, for every group g, z0 and z1 to the sums over i < count of
	// digit i of g times the two components of key row i of g. Row i of group g begins
	// at keys[(g*count+i)*2*groupWords]. z0 and z1 are contiguous.
	keySums(z0, z1, digits, keys []uint64, count int)
	// rowSums works on one group. Row r is made of terms ends[r-1] to ends[r]-1; term
	// i is group i of x times the pair of groups at ys[k][off[i]]. The sum of row r for
	// query k goes to the pair of groups r of zs[k].
	rowSums(zs [][]uint64, x []uint64, ys [][]uint64, off, ends []uint32)
	// cross works on one group. It adds to z, of comps+1 groups, the products of the
	// component vectors x[i] (comps groups each) with the pairs at y[off[i]].
	cross(z, x, y []uint64, off []uint32, comps int)
}

// groups returns the number of groups in a polynomial of n coefficients.
func groups(n int) int { return (n + groupSize - 1) / groupSize }

// bitReverse returns the low bits of i in opposite order.
func bitReverse(i, bits int) int {
	r := 0
	for range bits {
		r = r<<1 | i&1
		i >>= 1
	}
	return r
}

// wireSubstitution is the substitution table for an engine that keeps transforms
// in wire order: position brv(i) takes from position brv((i*p + (p-1)/2) mod n).
func wireSubstitution(logN, power int) []uint32 {
	n := 1 << logN
	t := make([]uint32, n)
	for i := range n {
		from := (i*power + (power-1)/2) & (n - 1)
		t[bitReverse(i, logN)] = uint32(bitReverse(from, logN))
	}
	return t
}

// newEngine picks the engine for a modulus: the fast ones where they apply.
func newEngine(m *Modulus, logN int) (engine, error) {
	psi, err := m.root(1 << logN)
	if err != nil {
		return nil, err
	}
	for _, make := range candidates() {
		if e, ok := make(m, logN, psi); ok {
			return e, nil
		}
	}
	return newGeneric(m, logN, psi), nil
}

// newPlainEngine picks the generic engine.
func newPlainEngine(m *Modulus, logN int) (engine, error) {
	psi, err := m.root(1 << logN)
	if err != nil {
		return nil, err
	}
	return newGeneric(m, logN, psi), nil
}

// candidates lists the constructors of engines for special moduli, the fastest
// first. Each says whether it can serve a modulus and degree.
func candidates() []func(m *Modulus, logN int, psi uint128) (engine, bool) {
	return []func(*Modulus, int, uint128) (engine, bool){
		new101,
		new30,
	}
}

package rlwe

import "testing"

// TestHotLoopsDoNotAllocate: an expansion, the sums of a tile and a modulus switch
// run in scratch space that was made before.
func TestHotLoopsDoNotAllocate(t *testing.T) {
	r, err := NewRing(standardQ, 6)
	if err != nil {
		t.Fatal(err)
	}
	to, err := NewRing(standardQ2, 6)
	if err != nil {
		t.Fatal(err)
	}
	s := newSchemeUnderTest(t, r, 3, 10, 3)
	x, err := NewExpander(r, s.keys)
	if err != nil {
		t.Fatal(err)
	}
	sw, err := NewSwitcher(r, to, 3)
	if err != nil {
		t.Fatal(err)
	}
	e, buf, narrow := x.NewExpansion(), r.NewBuffer(), to.NewPoly()
	c0, c1 := s.encrypt(t, make([]int64, r.n))
	all := func(int) bool { return true }
	ignore := func(int, Poly, Poly) {}
	gw := r.GroupWords()
	zs, ys := [][]uint64{make([]uint64, 4*gw)}, [][]uint64{c0}
	z, off, ends := make([]uint64, 3*gw), []uint32{0, uint32(2 * gw)}, []uint32{1, 2}
	packed := make([]byte, r.PackedLen())
	for name, f := range map[string]func(){
		"expand": func() { e.Expand(c0, c1, all, ignore) },
		"rows":   func() { r.RowSums(zs, c1, ys, off, ends) },
		"cross":  func() { r.Cross(z, c1, c0, off, 2) },
		"switch": func() { sw.Switch(narrow, c1, buf) },
		"pack":   func() { r.Pack(packed, c0, buf) },
		"unpack": func() { _ = r.Unpack(c0, packed, buf) },
	} {
		if n := testing.AllocsPerRun(10, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

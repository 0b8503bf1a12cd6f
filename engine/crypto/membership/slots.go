package membership

import (
	"math"
	"math/big"
)

// slotsPerLevel is ceil(pow(buckets, 1.0/levels)) as C computes it: the smallest r
// with r^levels >= buckets, except that for an exact power the double 1.0/levels
// may be so much above 1/levels that the result is rounded to above r.
func slotsPerLevel(buckets, levels int) int {
	if levels == 1 {
		return buckets
	}
	r := 1
	for power(r, levels) < buckets {
		r++
	}
	if power(r, levels) == buckets {
		// pow = r * (1 + excess * ln(buckets)), rounded to nearest.
		above := float64(r) * excess(levels) * math.Log(float64(buckets))
		if ulp := math.Nextafter(float64(r), math.Inf(1)) - float64(r); above > ulp/2 {
			r++
		}
	}
	return r
}

// power returns r^n, or a number above every bucket count.
func power(r, n int) int {
	p := 1
	for range n {
		if p *= r; p > maxBuckets {
			return maxBuckets + 1
		}
	}
	return p
}

// excess is the double 1.0/n minus 1/n.
func excess(n int) float64 {
	exact := new(big.Rat).SetFloat64(1 / float64(n))
	d, _ := exact.Sub(exact, big.NewRat(1, int64(n))).Float64()
	return d
}

// digit returns the slot, within its level, that selects a bucket at a level.
func (s *Scheme) digit(bucket, level int) int {
	for range level {
		bucket /= s.perLevel
	}
	return bucket % s.perLevel
}

// usedSlots is the number of slots of each level that can meet a bucket: the last
// digit does not run through all values.
func (s *Scheme) usedSlots() []int {
	used := make([]int, s.levels)
	size := int(s.buckets)
	for j := range used {
		used[j] = min(size, s.perLevel)
		size = (size + s.perLevel - 1) / s.perLevel
	}
	return used
}

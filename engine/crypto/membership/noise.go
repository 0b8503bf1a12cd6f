package membership

import (
	"fmt"
	"math"
)

// Noise is the noise that the worst query of a parameter set meets, computed from
// the parameters, in bits: the base-2 logarithm of a bound that holds for every
// coefficient except with negligible probability. Each must stay below its
// allowance, or results decrypt to garbage that nobody notices.
//
// How it is computed. The noise polynomial is followed by its values at the N roots
// of x^N + 1, where products are point-wise and substitutions permute. Values at
// different roots are uncorrelated, but far from equal in size: digits are not
// centred, so the noise of a key switch is many times larger at the roots next to 1, and
// following one variance for all coefficients (as estimates of this scheme usually do) would be
// wrong by several bits. Per root z:
//
//   - fresh: t*e, variance N t^2 sigma^2;
//   - key switch: t*e times l digit polynomials, whose mean is (T/2)(1 + x + ...), so
//     N t^2 sigma^2 l (N T^2/12 + (T/2)^2 |2/(1-z)|^2);
//   - one level of an expansion adds the noise at z, that at z^p, and a key switch;
//   - a polynomial of plaintext has at most (2^log_t - 1) * 2N/pi at any root;
//   - level 0: npl slots times plaintexts. Slots that came out of one ciphertext share noise and
//     may add up coherently;
//   - level j: npl products of two noises, and of each one's noise with the other one's message.
//
// The variance of a coefficient is the sum over the roots, over N^2. A coefficient is
// a sum of products of one normal variable per level; each of these is beyond
// tail standard deviations with probability below 2^-40.
//
// The modulus switch scales by q'/q and adds to component i a rounding error of mean
// -3/2 and variance t^2/12, which decryption multiplies by s^i, whose coefficients
// have mean square N^(i-1) i! sigma^(2i).
type Noise struct {
	Request, RequestAllowed   float64 // before the switch, against log2(q/2)
	Response, ResponseAllowed float64 // after it, against log2(q'/2)
}

// tail bounds one normal variable, tailRounding the sum of many small ones.
const (
	tail         = 5.3
	tailRounding = 10
)

// computeNoise follows the noise of one query through all levels.
func (s *Scheme) computeNoise() Noise {
	n, t, npl := float64(s.request.N()), float64(s.t), float64(s.perLevel)
	variance := float64(s.variance)
	q, q2 := s.request.Modulus().Float(), s.response.Modulus().Float()

	slot := s.slotNoise()
	coherent := npl * math.Min(npl, math.Ldexp(1, s.logCF))
	plain := (math.Ldexp(1, s.logT) - 1) * 2 * n / math.Pi
	slotMessage := math.Ldexp(t-1, s.logCF)
	sum := 0.0
	for _, v := range slot {
		noise, message := coherent*plain*plain*v, plain*slotMessage
		for range s.levels - 1 {
			noise = coherent*(noise+message*message)*v + noise*slotMessage*slotMessage
			message *= slotMessage
		}
		sum += noise
	}
	deviation := math.Sqrt(sum) / n
	message := (math.Ldexp(1, s.logT) - 1) * math.Pow(slotMessage, float64(s.levels))
	before := math.Pow(tail, float64(s.levels))*deviation + message

	rounding, power := 1.0, 1.0
	for i := 1; i <= s.levels; i++ {
		power *= n * variance * float64(i)
		rounding += power
	}
	after := before*q2/q + tailRounding*math.Sqrt(rounding*(t*t/12+2.25)) + t
	return Noise{
		Request: math.Log2(before), RequestAllowed: math.Log2(q) - 1,
		Response: math.Log2(after), ResponseAllowed: math.Log2(q2) - 1,
	}
}

// slotNoise is the variance of an expanded slot's noise at each root exp(i*pi*(2k+1)/N).
func (s *Scheme) slotNoise() []float64 {
	size := s.request.N()
	n, t := float64(size), float64(s.t)
	fresh := n * t * t * float64(s.variance)
	base := math.Ldexp(1, s.logBase)
	digits := float64(s.request.Digits(s.logBase))

	slot, next := make([]float64, size), make([]float64, size)
	keySwitch := make([]float64, size)
	for k := range slot {
		slot[k] = fresh
		// |1 - z| = 2 sin(angle/2)
		mean := 1 / math.Sin(math.Pi*float64(2*k+1)/(2*n))
		keySwitch[k] = fresh * digits * base * base * (n/12 + mean*mean/4)
	}
	for level := range s.logCF {
		p := int64(s.request.ExpansionPower(level))
		for k := range next {
			other := (int64(2*k+1)*p - 1) / 2 % int64(size)
			next[k] = slot[k] + slot[other] + keySwitch[k]
		}
		slot, next = next, slot
	}
	return slot
}

func (n Noise) check() error {
	if !(n.Request < n.RequestAllowed) {
		return fmt.Errorf("results could not be decrypted: noise reaches %.1f bits and request_modulus allows %.1f; use a larger request_modulus, fewer levels_of_recursion or buckets, or a smaller log_decomposition_modulus, log_compression_factor or log_t", n.Request, n.RequestAllowed)
	}
	if !(n.Response < n.ResponseAllowed) {
		return fmt.Errorf("results could not be decrypted: noise after the switch to response_modulus reaches %.1f bits and it allows %.1f; use a larger response_modulus or fewer levels_of_recursion", n.Response, n.ResponseAllowed)
	}
	return nil
}

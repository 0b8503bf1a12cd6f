package membership

import (
	"fmt"
	"math"
)

// safety is the number of standard deviations that must fit below half a modulus.
// A coefficient is beyond ten with probability 2^-76; a run decrypts fewer than
// 2^40.
const safety = 10

// Noise is the noise that the worst query of a parameter set meets, computed from
// the parameters, in bits: the base-2 logarithm of a bound that holds for every
// coefficient except with negligible probability. Each must stay below its
// allowance, or results decrypt to garbage that nobody notices.
//
// How it is computed. All errors are independent and centred, so variances of
// one coefficient are followed, with the worst plaintext:
//
//   - fresh: t*e, standard deviation t*sigma;
//   - key switch: digits (mean square T^2/3) times t*e, summed over the N
//     coefficients and l digits: variance t^2 sigma^2 N l T^2/3;
//   - one level of an expansion adds the ciphertext to its switched self: the old
//     noise at most doubles, the key switch's is added;
//   - level 0: npl slots times plaintexts of N coefficients below 2^log_t;
//   - level j: npl products of two noises, N terms each, and of each one's noise with
//     the other one's message;
//   - modulus switch: scaled by q'/q; rounding adds to every component i a value of mean
//     -3/2 and variance t^2/12, which decryption multiplies by s^i, whose coefficients
//     have mean square N^(i-1) i! sigma^(2i).
type Noise struct {
	Request, RequestAllowed   float64 // before the switch, against log2(q/2)
	Response, ResponseAllowed float64 // after it, against log2(q'/2)
}

// computeNoise follows the noise of one query through all levels.
func (s *Scheme) computeNoise() Noise {
	n, t, npl := float64(s.request.N()), float64(s.t), float64(s.perLevel)
	variance := float64(s.variance)
	q, q2 := s.request.Modulus().Float(), s.response.Modulus().Float()

	base := math.Ldexp(1, s.logBase)
	keySwitch := t * t * variance * n * float64(s.request.Digits(s.logBase)) * base * base / 3
	slot := t * t * variance
	for range s.logCF {
		slot = 4*slot + keySwitch
	}
	slotMessage := math.Ldexp(t-1, s.logCF)

	plain := math.Ldexp(1, s.logT) - 1
	v := npl * n * plain * plain * slot
	message := plain * slotMessage
	for range s.levels - 1 {
		v = npl*n*(v+message*message)*slot + v*slotMessage*slotMessage
		message *= slotMessage
	}
	ratio := q2 / q
	rounding, power := 1.0, 1.0
	for i := 1; i <= s.levels; i++ {
		power *= n * variance * float64(i)
		rounding += power
	}
	rounding *= t*t/12 + 2.25
	switched := v*ratio*ratio + rounding
	return Noise{
		Request:         math.Log2(safety*math.Sqrt(v) + message),
		RequestAllowed:  math.Log2(q) - 1,
		Response:        math.Log2(safety*math.Sqrt(switched) + message*ratio + t),
		ResponseAllowed: math.Log2(q2) - 1,
	}
}

func (n Noise) check() error {
	if n.Request >= n.RequestAllowed {
		return fmt.Errorf("results could not be decrypted: noise reaches %.1f bits and request_modulus allows %.1f; use a larger request_modulus, fewer levels_of_recursion or buckets, or a smaller log_decomposition_modulus, log_compression_factor or log_t", n.Request, n.RequestAllowed)
	}
	if n.Response >= n.ResponseAllowed {
		return fmt.Errorf("results could not be decrypted: noise after the switch to response_modulus reaches %.1f bits and it allows %.1f; use a larger response_modulus or fewer levels_of_recursion", n.Response, n.ResponseAllowed)
	}
	return nil
}

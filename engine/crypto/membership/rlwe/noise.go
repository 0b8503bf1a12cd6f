package rlwe

import "math"

// ErrorModel computes the "error" estimates that travel with ciphertexts. Nothing
// decides on them, but results are compared byte for byte, so each is computed
// in the order of shell-encryption, in IEEE doubles; the conversions keep a
// compiler from fusing a product and a sum.
type ErrorModel struct {
	Plaintext float64 // factor of a product with a plaintext
	Fresh     float64 // of a fresh ciphertext
	Scale     float64 // added by a modulus switch
	KeySwitch float64 // added by a key switch
	ratio     float64 // smaller modulus / larger modulus
}

// NewErrorModel takes the parameters of a pair of rings (the smaller one may be nil: then
// nothing is switched), plaintext modulus, variance and digit size.
func NewErrorModel(from, to *Ring, t uint64, variance, logBase int) ErrorModel {
	n, tf := float64(from.n), float64(t)
	sigma := math.Sqrt(float64(variance))
	digits := float64(from.Digits(logBase))
	base := math.Ldexp(1, logBase)
	m := ErrorModel{
		Plaintext: float64(tf * math.Sqrt(3*n)),
		Fresh:     float64(float64(tf*math.Sqrt(n)) * float64(math.Sqrt(3)+float64(6*sigma))),
		Scale:     float64(tf * float64(math.Sqrt(3*n)+float64(float64(8*n)*math.Sqrt(1.0/3)))),
	}
	v := float64(8 / math.Sqrt(3))
	for _, f := range []float64{tf, digits, sigma, n, base} {
		v = float64(v * f)
	}
	m.KeySwitch = v
	if to != nil {
		m.ratio = to.m.Float() / from.m.Float()
	}
	return m
}

// Expanded is the estimate after k levels of an expansion.
func (m ErrorModel) Expanded(k int) float64 {
	e := m.Fresh
	for range k {
		e += e + m.KeySwitch
	}
	return e
}

// Switched is the estimate after a modulus switch.
func (m ErrorModel) Switched(e float64) float64 {
	return float64(m.ratio*e) + m.Scale
}

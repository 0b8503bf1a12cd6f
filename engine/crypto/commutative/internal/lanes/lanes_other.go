//go:build !amd64 || purego

package lanes

// Available says whether this processor can do it. Nothing else may be called if not.
func Available() bool { return false }

// Scalar is what points are multiplied by.
type Scalar struct{}

// NewScalar does nothing here.
func NewScalar(*[4]uint64) Scalar { return Scalar{} }

// Points are eight points.
type Points struct{}

// Roots does nothing here.
func Roots(_, _ *Numbers) (found uint8) { return 0 }

// Opposite does nothing here.
func Opposite(y [4]uint64, _ uint64) [4]uint64 { return y }

// Set does nothing here.
func (*Points) Set(_, _ *Numbers) {}

// Multiply does nothing here.
func (*Points) Multiply(*Scalar) {}

// Affine does nothing here.
func (*Points) Affine(_, _ *Numbers) {}

package commutative

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// chunkSize is how many elements a worker takes at a time: some milliseconds' work, so that a
// cancelled batch ends soon, and enough of it that taking it costs nothing.
const chunkSize = 64

// ElementError says which element of a batch is bad. It does not contain the element.
type ElementError struct {
	Op    Op
	Index int // counts from 0
	Err   error
}

// Error names the operation and the index.
func (e *ElementError) Error() string { return fmt.Sprintf("%v element %d: %v", e.Op, e.Index, e.Err) }

// Unwrap returns the cause, such as ErrPoint.
func (e *ElementError) Unwrap() error { return e.Err }

// Batch does one operation on every element of src and appends the results to dst in the order of src,
// PointSize bytes each and nothing between them. dst must not overlap any element.
//
// It uses as many goroutines as the cipher's options allow, all of which have ended when it returns.
// With a dst of enough capacity it allocates nothing per element, so a stream of any length is
// processed in chunks of, say, some thousands, with one dst.
//
// A batch fails as a whole: with an *ElementError for the first bad element in the order of src, or
// with the context's cause soon after ctx ends. dst is then returned with its length unchanged.
func (c *Cipher) Batch(ctx context.Context, op Op, dst []byte, src [][]byte) ([]byte, error) {
	scalar, err := c.scalar(op)
	if err != nil {
		return dst, err
	}
	dst = slices.Grow(dst, len(src)*PointSize)
	b := batch{op: op, scalar: scalar, src: src, out: dst[len(dst) : len(dst)+len(src)*PointSize]}
	b.failed.Store(int64(len(src)))

	chunks := (len(src) + chunkSize - 1) / chunkSize
	var wg sync.WaitGroup
	for range min(c.workers, chunks) - 1 {
		wg.Go(func() { b.work(ctx) })
	}
	b.work(ctx)
	wg.Wait()

	if b.err != nil {
		return dst, b.err
	}
	if ctx.Err() != nil {
		return dst, context.Cause(ctx)
	}
	return dst[:len(dst)+len(b.out)], nil
}

// All is Batch with one slice for each result. They share one array, but appending to one does not
// touch another.
func (c *Cipher) All(ctx context.Context, op Op, src [][]byte) ([][]byte, error) {
	points, err := c.Batch(ctx, op, nil, src)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(src))
	for i := range out {
		out[i] = points[i*PointSize : (i+1)*PointSize : (i+1)*PointSize]
	}
	return out, nil
}

// batch is one call of Batch, shared by its workers.
type batch struct {
	op     Op
	scalar *[32]byte
	src    [][]byte
	out    []byte

	next   atomic.Int64 // the first element that no worker has taken
	failed atomic.Int64 // the lowest index known to be bad, or len(src)
	mu     sync.Mutex
	err    error // of the element at failed
}

// work takes chunks, in order, until there is none, one before it has failed, or ctx has ended. A
// chunk that was taken is finished up to its first bad element, and every chunk before the one that
// failed was taken: so the lowest bad index of all is found.
func (b *batch) work(ctx context.Context) {
	var w worker
	for ctx.Err() == nil {
		from := int(b.next.Add(chunkSize)) - chunkSize
		if from >= int(b.failed.Load()) {
			return
		}
		for i := from; i < min(from+chunkSize, len(b.src)); i++ {
			if err := w.apply((*[PointSize]byte)(b.out[i*PointSize:]), b.op, b.scalar, b.src[i]); err != nil {
				b.fail(i, err)
				break
			}
		}
	}
}

// fail records that an element is bad, unless one before it is.
func (b *batch) fail(i int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i < int(b.failed.Load()) {
		b.failed.Store(int64(i))
		b.err = &ElementError{Op: b.op, Index: i, Err: err}
	}
}

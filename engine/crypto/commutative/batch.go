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
const chunkSize = 128

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
	by, err := c.multiplier(op)
	if err != nil {
		return dst, err
	}
	dst = slices.Grow(dst, len(src)*PointSize)
	b := batch{op: op, by: by, src: src, out: dst[len(dst) : len(dst)+len(src)*PointSize]}
	b.failed.Store(int64(len(src)))

	work := b.work
	if c.lanes && len(src) > 1 {
		work = b.workInLanes
	}
	chunks := (len(src) + chunkSize - 1) / chunkSize
	var wg sync.WaitGroup
	for range min(c.workers, chunks) - 1 {
		wg.Go(func() { work(ctx) })
	}
	work(ctx)
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
	op  Op
	by  *multiplier
	src [][]byte
	out []byte

	next   atomic.Int64 // the first element that no worker has taken
	failed atomic.Int64 // the lowest index known to be bad, or len(src)
	mu     sync.Mutex
	err    error // of the element at failed
}

// take returns the next chunk, unless there is none, one before it has failed, or ctx has ended. Chunks
// are taken in order, and one that was taken is finished up to its first bad element: so the lowest bad
// index of all is found.
func (b *batch) take(ctx context.Context) (from, to int, ok bool) {
	if ctx.Err() != nil {
		return 0, 0, false
	}
	from = int(b.next.Add(chunkSize)) - chunkSize
	return from, min(from+chunkSize, len(b.src)), from < int(b.failed.Load())
}

// work does chunks, one element after another.
func (b *batch) work(ctx context.Context) {
	var w worker
	for from, to, ok := b.take(ctx); ok; from, to, ok = b.take(ctx) {
		for i := from; i < to; i++ {
			if err := w.apply((*[PointSize]byte)(b.out[i*PointSize:]), b.op, &b.by.bytes, b.src[i]); err != nil {
				b.fail(i, err)
				break
			}
		}
	}
}

// workInLanes does chunks, eight elements at a time.
func (b *batch) workInLanes(ctx context.Context) {
	w := &laneWorker{queue: make([]int, 0, chunkSize)}
	for from, to, ok := b.take(ctx); ok; from, to, ok = b.take(ctx) {
		if bad := w.apply(b.out[from*PointSize:], b.op, &b.by.lanes, b.src[from:to]); bad >= 0 {
			b.fail(from+bad, ErrPoint)
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

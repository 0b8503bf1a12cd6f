package membership

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/internal/protoscan"
	"github.com/panelmatch/panelmatch/engine/crypto/membership/rlwe"
)

// Result is the answer to one query.
type Result struct {
	Metadata
	// Message is the serialized private_membership.batch.EncryptedQueryResult.
	Message []byte
}

// parsedResult is an EncryptedQueryResult as read.
type parsedResult struct {
	Metadata
	ciphertexts []rlwe.Ciphertext
}

// parseResult reads a result whose ciphertexts are of the given ring. Memory beside the
// bytes is a small fraction of them, because each ciphertext must be of full length.
func (s *Scheme) parseResult(b []byte, r *rlwe.Ring) (parsedResult, error) {
	var out parsedResult
	var once protoscan.Once
	err := protoscan.Each(b, func(f protoscan.Field) error {
		switch f.Number {
		case resultMeta:
			data, err := f.Bytes()
			if err != nil {
				return err
			}
			if out.Metadata, err = parseMetadata(data); err != nil {
				return err
			}
			return once.Check(f)
		case resultCiphertext:
			data, err := f.Bytes()
			if err != nil {
				return err
			}
			c, err := r.ParseCiphertext(data, s.levels+1)
			if err == nil && len(c.Components) != s.levels+1 {
				err = fmt.Errorf("ciphertext has %d components, must have %d (levels_of_recursion + 1)", len(c.Components), s.levels+1)
			}
			if err != nil {
				return fmt.Errorf("column %d: %w", len(out.ciphertexts), err)
			}
			out.ciphertexts = append(out.ciphertexts, c)
		}
		return nil
	})
	if err != nil {
		return parsedResult{}, fmt.Errorf("query result: %w", err)
	}
	return out, nil
}

// Decrypter decrypts results. It has scratch space, so each goroutine needs one of
// its own; PrivateKey.NewDecrypter makes one in well under a millisecond.
type Decrypter struct {
	s      *Scheme
	c      *rlwe.Cryptor
	buf    *rlwe.Buffer
	comps  []rlwe.Poly
	values []uint64
}

// NewDecrypter makes a decrypter.
func (k *PrivateKey) NewDecrypter() *Decrypter {
	r := k.s.response
	d := &Decrypter{
		s: k.s, c: rlwe.NewCryptor(k.response, k.s.t, k.s.variance), buf: r.NewBuffer(),
		values: make([]uint64, r.N()),
	}
	for range k.s.levels + 1 {
		d.comps = append(d.comps, r.NewPoly())
	}
	return d
}

// Decrypt opens a finalized result (a serialized EncryptedQueryResult) and returns
// its query and the bucket's contents. A bucket that does not exist has no contents. Decryption
// cannot tell a wrong key from a right one: the contents are only as good as
// whatever checks them next.
func (d *Decrypter) Decrypt(result []byte) (Metadata, []byte, error) {
	r := d.s.response
	p, err := d.s.parseResult(result, r)
	if err != nil {
		return Metadata{}, nil, err
	}
	if len(p.ciphertexts) == 0 {
		return p.Metadata, nil, fmt.Errorf("result of query %d has no ciphertexts", p.QueryID)
	}
	out := make([]byte, 0, len(p.ciphertexts)*d.s.chunk)
	for i, c := range p.ciphertexts {
		for j, coeffs := range c.Components {
			if err := r.Unpack(d.comps[j], coeffs, d.buf); err != nil {
				return p.Metadata, nil, fmt.Errorf("result of query %d, column %d: %w", p.QueryID, i, err)
			}
		}
		d.c.Decrypt(d.values, d.comps)
		out = d.s.bytesOf(out, d.values)
	}
	contents, err := unprefix(out)
	if err != nil {
		return p.Metadata, nil, fmt.Errorf("result of query %d: %w", p.QueryID, err)
	}
	return p.Metadata, contents, nil
}

// Finalize switches a result that Shard.Apply left under the request modulus
// (Options.Unfinalized) to the response modulus.
func (s *Scheme) Finalize(result []byte) ([]byte, error) {
	p, err := s.parseResult(result, s.request)
	if err != nil {
		return nil, err
	}
	f := s.newFinalizer()
	out := appendMetadata(make([]byte, 0, s.ResultBytes(len(p.ciphertexts))+24), resultMeta, p.Metadata)
	for i, c := range p.ciphertexts {
		for j, coeffs := range c.Components {
			if err := s.request.Unpack(f.wide[j], coeffs, f.buf); err != nil {
				return nil, fmt.Errorf("result of query %d, column %d: %w", p.QueryID, i, err)
			}
		}
		out = f.append(out, c.Error)
	}
	return out, nil
}

// finalizer switches and writes ciphertexts. It is scratch space of one goroutine.
type finalizer struct {
	s      *Scheme
	buf    *rlwe.Buffer
	wide   []rlwe.Poly // components under the request modulus
	narrow []rlwe.Poly
}

func (s *Scheme) newFinalizer() *finalizer {
	f := &finalizer{s: s, buf: s.request.NewBuffer()}
	for range s.levels + 1 {
		f.wide = append(f.wide, s.request.NewPoly())
		f.narrow = append(f.narrow, s.response.NewPoly())
	}
	return f
}

// append switches the components in wide, which it overwrites, and appends them as
// a ciphertext of a result.
func (f *finalizer) append(b []byte, errorEstimate float64) []byte {
	s := f.s
	for i, p := range f.wide {
		s.switcher.Switch(f.narrow[i], p, f.buf)
	}
	b = protowire.AppendTag(b, resultCiphertext, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(s.response.CiphertextLen(len(f.narrow))))
	return s.response.AppendCiphertext(b, f.narrow, s.model.Switched(errorEstimate), f.buf)
}

// appendWide appends the components as they are.
func (f *finalizer) appendWide(b []byte, errorEstimate float64) []byte {
	r := f.s.request
	b = protowire.AppendTag(b, resultCiphertext, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(r.CiphertextLen(len(f.wide))))
	return r.AppendCiphertext(b, f.wide, errorEstimate, f.buf)
}

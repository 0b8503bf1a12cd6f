// Package siv encrypts the events of one join key: AES-SIV (RFC 5297) under a key that HKDF-SHA256
// (RFC 5869) makes of the encrypted join key and a pepper. Only who has both can open them, and who has
// them needs no key exchange. It is deterministic: equal events of one join key give equal ciphertexts.
//
// It neither compresses nor combines events, and knows no messages: its callers do and do.
//
// The arithmetic is that of crypto/aes, which is constant time where the processor has AES
// instructions, and does not branch on secrets anywhere.
package siv

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// Overhead is how many bytes a ciphertext has more than its plaintext.
	Overhead = aes.BlockSize
	// KeySize is the length of a raw key: one half authenticates, the other encrypts.
	KeySize = 64

	maxDerived = 1024
	// streamFrom is the length from which crypto/cipher's counter mode, which works on several blocks
	// at a time, makes up for its setting up.
	streamFrom = 16 * aes.BlockSize
)

// ErrOpen is the error for a ciphertext that this key does not open. For the model provider it is the
// normal case: a bucket holds other join keys' events too.
var ErrOpen = errors.New("the ciphertext is not one of this join key, or was changed")

// Derive returns length bytes, 1 to 1024, of HKDF-SHA256 with the input key material and the salt
// given, and no info. The input key material must not be empty; the salt may be.
func Derive(keyMaterial, salt []byte, length int) ([]byte, error) {
	if len(keyMaterial) == 0 {
		return nil, errors.New("the input key material is empty; it must have at least one byte")
	}
	if length < 1 || length > maxDerived {
		return nil, fmt.Errorf("a derived key of %d bytes; it must be 1 to %d", length, maxDerived)
	}
	key, err := hkdf.Key(sha256.New, keyMaterial, salt, "", length)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	return key, nil
}

// Cipher seals and opens the events of one join key. It is safe for concurrent use, and prints as
// [redacted].
type Cipher struct {
	mac, enc cipher.Block
	// What does not depend on the message: CMAC's two subkeys, and S2V's state after the only
	// associated data, which is empty. (One empty string and none at all are not the same.)
	last, lastPadded, state [aes.BlockSize]byte
}

// New returns the cipher for a join key, which is encrypted with the data provider's key and no other,
// under the HKDF pepper. Neither may be empty.
func New(encryptedJoinKey, pepper []byte) (*Cipher, error) {
	if len(pepper) == 0 {
		return nil, errors.New("the HKDF pepper is empty; it must have at least one byte")
	}
	if len(encryptedJoinKey) == 0 {
		return nil, errors.New("the join key is empty; it must have at least one byte")
	}
	key, err := Derive(encryptedJoinKey, pepper, KeySize)
	if err != nil {
		return nil, err
	}
	return NewFromKey(key)
}

// NewFromKey returns the cipher for a key of KeySize bytes.
func NewFromKey(key []byte) (*Cipher, error) { return newCipher(key, nil) }

// newCipher takes associated data too, so that the published vectors can be tried.
func newCipher(key, associated []byte) (*Cipher, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("an AES-SIV key of %d bytes; it must have %d", len(key), KeySize)
	}
	mac, err := aes.NewCipher(key[:KeySize/2])
	if err != nil {
		return nil, fmt.Errorf("authentication key: %w", err)
	}
	enc, err := aes.NewCipher(key[KeySize/2:])
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	c := &Cipher{mac: mac, enc: enc}
	mac.Encrypt(c.last[:], c.last[:])
	double(&c.last)
	c.lastPadded = c.last
	double(&c.lastPadded)

	var zero, sum [aes.BlockSize]byte
	c.cmac(&c.state, zero[:], nil)
	double(&c.state)
	c.cmac(&sum, associated, nil)
	subtle.XORBytes(c.state[:], c.state[:], sum[:])
	return c, nil
}

// Seal encrypts plaintext, which may be empty, and appends the result to dst. The part of dst that is
// written must not overlap plaintext.
func (c *Cipher) Seal(dst, plaintext []byte) []byte {
	var v [aes.BlockSize]byte
	c.s2v(&v, plaintext)
	dst = append(dst, v[:]...)
	n := len(dst)
	dst = append(dst, plaintext...)
	c.crypt(dst[n:], &v)
	return dst
}

// Open decrypts what Seal has made and appends the plaintext to dst. It fails with ErrOpen, and
// returns dst with its length unchanged, if the ciphertext is not of this key. The part of dst that
// is written must not overlap ciphertext.
func (c *Cipher) Open(dst, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) < Overhead {
		return dst, ErrOpen
	}
	v, sum := [aes.BlockSize]byte(ciphertext), [aes.BlockSize]byte{}
	n := len(dst)
	out := append(dst, ciphertext[Overhead:]...)
	c.crypt(out[n:], &v)
	c.s2v(&sum, out[n:])
	if subtle.ConstantTimeCompare(sum[:], v[:]) != 1 {
		clear(out[n:])
		return dst, ErrOpen
	}
	return out, nil
}

// Format prints [redacted], whatever the verb.
func (c *Cipher) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[redacted]") }

// s2v sets v to the synthetic initialization vector of a plaintext.
func (c *Cipher) s2v(v *[aes.BlockSize]byte, plaintext []byte) {
	if len(plaintext) >= aes.BlockSize {
		c.cmac(v, plaintext, &c.state)
		return
	}
	t := c.state
	double(&t)
	subtle.XORBytes(t[:], t[:], plaintext)
	t[len(plaintext)] ^= 0x80
	c.cmac(v, t[:], nil)
}

// cmac sets sum to the CMAC (RFC 4493) of b. If end is given, b has 16 bytes at least, and its last 16
// are taken XOR end.
func (c *Cipher) cmac(sum *[aes.BlockSize]byte, b []byte, end *[aes.BlockSize]byte) {
	var x [aes.BlockSize]byte
	head := 0 // of b, in whole blocks that are neither the last nor touched by end
	if n := len(b); end == nil {
		head = max(n-1, 0) / aes.BlockSize * aes.BlockSize
	} else {
		head = (n - aes.BlockSize) / aes.BlockSize * aes.BlockSize
	}
	for i := 0; i < head; i += aes.BlockSize {
		subtle.XORBytes(x[:], x[:], b[i:i+aes.BlockSize])
		c.mac.Encrypt(x[:], x[:])
	}
	var tail [2 * aes.BlockSize]byte
	n := copy(tail[:], b[head:])
	if end != nil {
		subtle.XORBytes(tail[n-aes.BlockSize:n], tail[n-aes.BlockSize:n], end[:])
	}
	rest := tail[:]
	if n > aes.BlockSize {
		subtle.XORBytes(x[:], x[:], rest[:aes.BlockSize])
		c.mac.Encrypt(x[:], x[:])
		rest, n = rest[aes.BlockSize:], n-aes.BlockSize
	}
	key := &c.last
	if n < aes.BlockSize {
		rest[n] = 0x80
		key = &c.lastPadded
	}
	subtle.XORBytes(x[:], x[:], rest[:aes.BlockSize])
	subtle.XORBytes(x[:], x[:], key[:])
	c.mac.Encrypt(sum[:], x[:])
}

// crypt encrypts or decrypts b in place in counter mode, from the counter that v gives.
func (c *Cipher) crypt(b []byte, v *[aes.BlockSize]byte) {
	counter := *v
	counter[8] &= 0x7f
	counter[12] &= 0x7f
	if len(b) >= streamFrom {
		cipher.NewCTR(c.enc, counter[:]).XORKeyStream(b, b)
		return
	}
	// The low 32 bits have their top bit clear: they do not run over in so few blocks.
	var stream [aes.BlockSize]byte
	for n := binary.BigEndian.Uint32(counter[12:]); len(b) > 0; n++ {
		binary.BigEndian.PutUint32(counter[12:], n)
		c.enc.Encrypt(stream[:], counter[:])
		b = b[subtle.XORBytes(b, b, stream[:]):]
	}
}

// double multiplies b by x in the field of 2^128 elements that CMAC uses.
func double(b *[aes.BlockSize]byte) {
	high, low := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	binary.BigEndian.PutUint64(b[:8], high<<1|low>>63)
	binary.BigEndian.PutUint64(b[8:], low<<1^-(high>>63)&0x87)
}

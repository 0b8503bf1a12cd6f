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
	// Not crypto/hkdf: it allocates some twenty times and takes five times as long, and an event needs
	// one key.
	prk := hmac(salt, keyMaterial)
	out := make([]byte, 0, length+sha256.Size)
	var block [sha256.Size + 1]byte // what came before, and a counter
	for n := 1; len(out) < length; n++ {
		block[sha256.Size] = byte(n)
		msg := block[:]
		if n == 1 {
			msg = block[sha256.Size:]
		}
		t := hmac(prk[:], msg)
		copy(block[:], t[:])
		out = append(out, t[:]...)
	}
	return out[:length], nil
}

// hmac returns the HMAC-SHA256 of a message. Nothing escapes if both are short.
func hmac(key, msg []byte) [sha256.Size]byte {
	var k [sha256.BlockSize]byte
	if len(key) > len(k) {
		h := sha256.Sum256(key)
		key = h[:]
	}
	copy(k[:], key)
	var inner, outer [3 * sha256.BlockSize]byte
	for i, b := range k {
		inner[i], outer[i] = b^0x36, b^0x5c
	}
	digest := sha256.Sum256(append(inner[:len(k)], msg...))
	n := copy(outer[len(k):], digest[:])
	return sha256.Sum256(outer[:len(k)+n])
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

	var w work
	c.cmac(&w, make([]byte, aes.BlockSize), nil)
	c.state = w.sum
	double(&c.state)
	c.cmac(&w, associated, nil)
	subtle.XORBytes(c.state[:], c.state[:], w.sum[:])
	return c, nil
}

// work is what one Seal or Open needs; the blocks are given to an interface, so that on the stack they
// would each escape from it.
type work struct {
	sum, v, x, counter, stream [aes.BlockSize]byte
	tail                       [2 * aes.BlockSize]byte
}

// Seal encrypts plaintext, which may be empty, and appends the result to dst. The part of dst that is
// written must not overlap plaintext.
func (c *Cipher) Seal(dst, plaintext []byte) []byte {
	var w work
	c.s2v(&w, plaintext)
	w.v = w.sum
	dst = append(dst, w.v[:]...)
	n := len(dst)
	dst = append(dst, plaintext...)
	c.crypt(&w, dst[n:])
	return dst
}

// Open decrypts what Seal has made and appends the plaintext to dst. It fails with ErrOpen, and
// returns dst with its length unchanged, if the ciphertext is not of this key. The part of dst that
// is written must not overlap ciphertext.
func (c *Cipher) Open(dst, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) < Overhead {
		return dst, ErrOpen
	}
	w := work{v: [aes.BlockSize]byte(ciphertext)}
	n := len(dst)
	out := append(dst, ciphertext[Overhead:]...)
	c.crypt(&w, out[n:])
	c.s2v(&w, out[n:])
	if subtle.ConstantTimeCompare(w.sum[:], w.v[:]) != 1 {
		clear(out[n:])
		return dst, ErrOpen
	}
	return out, nil
}

// Format prints [redacted], whatever the verb.
func (c *Cipher) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[redacted]") }

// s2v sets w.sum to the synthetic initialization vector of a plaintext.
func (c *Cipher) s2v(w *work, plaintext []byte) {
	if len(plaintext) >= aes.BlockSize {
		c.cmac(w, plaintext, &c.state)
		return
	}
	t := &w.stream
	*t = c.state
	double(t)
	subtle.XORBytes(t[:], t[:], plaintext)
	t[len(plaintext)] ^= 0x80
	c.cmac(w, t[:], nil)
}

// cmac sets w.sum to the CMAC (RFC 4493) of b. If end is given, b has 16 bytes at least, and its last
// 16 are taken XOR end.
func (c *Cipher) cmac(w *work, b []byte, end *[aes.BlockSize]byte) {
	head := max(len(b)-1, 0) // of b, in whole blocks that are neither the last nor touched by end
	if end != nil {
		head = len(b) - aes.BlockSize
	}
	head = head / aes.BlockSize * aes.BlockSize
	w.x = [aes.BlockSize]byte{}
	for i := 0; i < head; i += aes.BlockSize {
		c.chain(w, b[i:i+aes.BlockSize])
	}
	w.tail = [2 * aes.BlockSize]byte{}
	rest := w.tail[:]
	n := copy(rest, b[head:])
	if end != nil {
		subtle.XORBytes(rest[n-aes.BlockSize:n], rest[n-aes.BlockSize:n], end[:])
	}
	if n > aes.BlockSize {
		c.chain(w, rest[:aes.BlockSize])
		rest, n = rest[aes.BlockSize:], n-aes.BlockSize
	}
	key := &c.last
	if n < aes.BlockSize {
		rest[n] = 0x80
		key = &c.lastPadded
	}
	subtle.XORBytes(rest[:aes.BlockSize], rest[:aes.BlockSize], key[:])
	c.chain(w, rest[:aes.BlockSize])
	w.sum = w.x
}

// chain takes one more block into the MAC.
func (c *Cipher) chain(w *work, block []byte) {
	subtle.XORBytes(w.x[:], w.x[:], block)
	c.mac.Encrypt(w.x[:], w.x[:])
}

// crypt encrypts or decrypts b in place in counter mode, from the counter that w.v gives.
func (c *Cipher) crypt(w *work, b []byte) {
	w.counter = w.v
	w.counter[8] &= 0x7f
	w.counter[12] &= 0x7f
	if len(b) >= streamFrom {
		cipher.NewCTR(c.enc, w.counter[:]).XORKeyStream(b, b)
		return
	}
	// The low 32 bits have their top bit clear: they do not run over in so few blocks.
	for n := binary.BigEndian.Uint32(w.counter[12:]); len(b) > 0; n++ {
		binary.BigEndian.PutUint32(w.counter[12:], n)
		c.enc.Encrypt(w.stream[:], w.counter[:])
		b = b[subtle.XORBytes(b, b, w.stream[:]):]
	}
}

// double multiplies b by x in the field of 2^128 elements that CMAC uses.
func double(b *[aes.BlockSize]byte) {
	high, low := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	binary.BigEndian.PutUint64(b[:8], high<<1|low>>63)
	binary.BigEndian.PutUint64(b[8:], low<<1^-(high>>63)&0x87)
}

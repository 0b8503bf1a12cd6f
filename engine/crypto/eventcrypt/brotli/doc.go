// Package brotli compresses and decompresses the events of one join key: Brotli streams (RFC 7932)
// with an optional raw prefix dictionary, a few kilobytes that both parties have and that the stream
// refers to as if they preceded the data. The stream does not say whether there is one, or which.
//
// The package exists because no Brotli in pure Go takes such dictionaries. It is not a general Brotli:
// it takes and gives whole byte slices, not streams, and its encoder has one level. A decoder is given a
// bound for its output, since compressed data come from the partner.
//
// With a dictionary of d bytes, at a place where the window reaches m bytes back, a distance x means
//
//	x <= m          a copy of what was written before
//	x <= m + d      a copy from the dictionary, which ends where the data begin; it must not run over
//	                the dictionary's end, and its distance is remembered as any other
//	x > m + d       a word of the built-in list of RFC 7932, number x - m - d - 1
//
// Since the words' distances move with d, a stream made without a dictionary must not refer to words
// if it is to be read with one. This encoder never does.
package brotli

//go:build !purego

#include "textflag.h"

// Vectors hold one limb of 52 bits of eight numbers. VPMADD52LUQ and VPMADD52HUQ multiply the low 52
// bits of two limbs and add the low or the high 52 bits of the product.

// The constants of p = 2^256 - 2^224 + 2^192 + 2^96 - 1: a multiple m of p + 1 is m 2^44 at limb 1,
// m 2^36 at limb 3 and m (2^48 - 2^16) at limb 4.
DATA constants<>+0(SB)/8, $0x0000100000000000  // 2^44
DATA constants<>+8(SB)/8, $0x0000001000000000  // 2^36
DATA constants<>+16(SB)/8, $0x0000ffffffff0000 // 2^48 - 2^16
DATA constants<>+24(SB)/8, $0x000fffffffffffff // 2^52 - 1
DATA constants<>+32(SB)/8, $0x0000ffffffffffff // 2^48 - 1
// 4 p
DATA constants<>+40(SB)/8, $0x000ffffffffffffc
DATA constants<>+48(SB)/8, $0x00003fffffffffff
DATA constants<>+56(SB)/8, $0x0000000000000000
DATA constants<>+64(SB)/8, $0x0000004000000000
DATA constants<>+72(SB)/8, $0x0003fffffffc0000
GLOBL constants<>(SB), RODATA|NOPTR, $80

// LOAD5 loads a field element.
#define LOAD5(p, a, b, c, d, e) \
	VMOVDQU64 0(p), a   \
	VMOVDQU64 64(p), b  \
	VMOVDQU64 128(p), c \
	VMOVDQU64 192(p), d \
	VMOVDQU64 256(p), e

#define STORE5(p, a, b, c, d, e) \
	VMOVDQU64 a, 0(p)   \
	VMOVDQU64 b, 64(p)  \
	VMOVDQU64 c, 128(p) \
	VMOVDQU64 d, 192(p) \
	VMOVDQU64 e, 256(p)

// ROW adds a limb, times all of Z10 to Z14, to six limbs.
#define ROW(a, r0, r1, r2, r3, r4, r5) \
	VPMADD52LUQ Z10, a, r0 \
	VPMADD52LUQ Z11, a, r1 \
	VPMADD52LUQ Z12, a, r2 \
	VPMADD52LUQ Z13, a, r3 \
	VPMADD52LUQ Z14, a, r4 \
	VPMADD52HUQ Z10, a, r1 \
	VPMADD52HUQ Z11, a, r2 \
	VPMADD52HUQ Z12, a, r3 \
	VPMADD52HUQ Z13, a, r4 \
	VPMADD52HUQ Z14, a, r5

// REDUCE is a Montgomery step: -1/p is 1 modulo 2^52, so the quotient is the lowest limb itself. It
// cancels, but for what it has above 52 bits.
#define REDUCE(r0, r1, r2, r3, r4, r5) \
	VPSRLQ      $52, r0, Z20 \
	VPMADD52LUQ Z16, r0, r1  \
	VPMADD52HUQ Z16, r0, r2  \
	VPMADD52LUQ Z17, r0, r3  \
	VPMADD52HUQ Z17, r0, r4  \
	VPMADD52LUQ Z18, r0, r4  \
	VPMADD52HUQ Z18, r0, r5  \
	VPADDQ      Z20, r1, r1

// CARRY moves what a limb has above 52 bits, signed, to the next.
#define CARRY(r0, r1) \
	VPSRAQ $52, r0, Z20  \
	VPANDQ Z19, r0, r0   \
	VPADDQ Z20, r1, r1

#define CONSTANTS \
	VPBROADCASTQ constants<>+0(SB), Z16  \
	VPBROADCASTQ constants<>+8(SB), Z17  \
	VPBROADCASTQ constants<>+16(SB), Z18 \
	VPBROADCASTQ constants<>+24(SB), Z19

// FINISH reduces the ten limbs of a product to the five in Z5 to Z9.
#define FINISH \
	REDUCE(Z0, Z1, Z2, Z3, Z4, Z5) \
	REDUCE(Z1, Z2, Z3, Z4, Z5, Z6) \
	REDUCE(Z2, Z3, Z4, Z5, Z6, Z7) \
	REDUCE(Z3, Z4, Z5, Z6, Z7, Z8) \
	REDUCE(Z4, Z5, Z6, Z7, Z8, Z9) \
	CARRY(Z5, Z6) \
	CARRY(Z6, Z7) \
	CARRY(Z7, Z8) \
	CARRY(Z8, Z9)

// func mul(z, x, y *field)
TEXT ·mul(SB), NOSPLIT, $0-24
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	CONSTANTS
	LOAD5(DX, Z10, Z11, Z12, Z13, Z14)
	VPXORQ Z0, Z0, Z0
	VPXORQ Z1, Z1, Z1
	VPXORQ Z2, Z2, Z2
	VPXORQ Z3, Z3, Z3
	VPXORQ Z4, Z4, Z4
	VPXORQ Z5, Z5, Z5
	VPXORQ Z6, Z6, Z6
	VPXORQ Z7, Z7, Z7
	VPXORQ Z8, Z8, Z8
	VPXORQ Z9, Z9, Z9
	VMOVDQU64 0(SI), Z15
	ROW(Z15, Z0, Z1, Z2, Z3, Z4, Z5)
	VMOVDQU64 64(SI), Z21
	ROW(Z21, Z1, Z2, Z3, Z4, Z5, Z6)
	VMOVDQU64 128(SI), Z15
	ROW(Z15, Z2, Z3, Z4, Z5, Z6, Z7)
	VMOVDQU64 192(SI), Z21
	ROW(Z21, Z3, Z4, Z5, Z6, Z7, Z8)
	VMOVDQU64 256(SI), Z15
	ROW(Z15, Z4, Z5, Z6, Z7, Z8, Z9)
	FINISH
	STORE5(DI, Z5, Z6, Z7, Z8, Z9)
	VZEROUPPER
	RET

// func square(z, x *field, n int)
TEXT ·square(SB), NOSPLIT, $0-24
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	CONSTANTS
	LOAD5(SI, Z10, Z11, Z12, Z13, Z14)

loop:
	VPXORQ Z0, Z0, Z0
	VPXORQ Z1, Z1, Z1
	VPXORQ Z2, Z2, Z2
	VPXORQ Z3, Z3, Z3
	VPXORQ Z4, Z4, Z4
	VPXORQ Z5, Z5, Z5
	VPXORQ Z6, Z6, Z6
	VPXORQ Z7, Z7, Z7
	VPXORQ Z8, Z8, Z8
	VPXORQ Z9, Z9, Z9

	// The products of two different limbs.
	VPMADD52LUQ Z10, Z11, Z1
	VPMADD52HUQ Z10, Z11, Z2
	VPMADD52LUQ Z10, Z12, Z2
	VPMADD52HUQ Z10, Z12, Z3
	VPMADD52LUQ Z10, Z13, Z3
	VPMADD52HUQ Z10, Z13, Z4
	VPMADD52LUQ Z10, Z14, Z4
	VPMADD52HUQ Z10, Z14, Z5
	VPMADD52LUQ Z11, Z12, Z3
	VPMADD52HUQ Z11, Z12, Z4
	VPMADD52LUQ Z11, Z13, Z4
	VPMADD52HUQ Z11, Z13, Z5
	VPMADD52LUQ Z11, Z14, Z5
	VPMADD52HUQ Z11, Z14, Z6
	VPMADD52LUQ Z12, Z13, Z5
	VPMADD52HUQ Z12, Z13, Z6
	VPMADD52LUQ Z12, Z14, Z6
	VPMADD52HUQ Z12, Z14, Z7
	VPMADD52LUQ Z13, Z14, Z7
	VPMADD52HUQ Z13, Z14, Z8

	// Twice.
	VPADDQ Z1, Z1, Z1
	VPADDQ Z2, Z2, Z2
	VPADDQ Z3, Z3, Z3
	VPADDQ Z4, Z4, Z4
	VPADDQ Z5, Z5, Z5
	VPADDQ Z6, Z6, Z6
	VPADDQ Z7, Z7, Z7
	VPADDQ Z8, Z8, Z8

	// The squares.
	VPMADD52LUQ Z10, Z10, Z0
	VPMADD52HUQ Z10, Z10, Z1
	VPMADD52LUQ Z11, Z11, Z2
	VPMADD52HUQ Z11, Z11, Z3
	VPMADD52LUQ Z12, Z12, Z4
	VPMADD52HUQ Z12, Z12, Z5
	VPMADD52LUQ Z13, Z13, Z6
	VPMADD52HUQ Z13, Z13, Z7
	VPMADD52LUQ Z14, Z14, Z8
	VPMADD52HUQ Z14, Z14, Z9

	FINISH
	VMOVDQA64 Z5, Z10
	VMOVDQA64 Z6, Z11
	VMOVDQA64 Z7, Z12
	VMOVDQA64 Z8, Z13
	VMOVDQA64 Z9, Z14
	DECQ CX
	JNZ  loop
	STORE5(DI, Z10, Z11, Z12, Z13, Z14)
	VZEROUPPER
	RET

// FOLD replaces what Z4 has above 2^256, t times that, by t (2^224 - 2^192 - 2^96 + 1), and carries.
#define FOLD \
	VPBROADCASTQ constants<>+24(SB), Z19 \
	VPSRAQ $48, Z4, Z21 \
	VPANDQ.BCST constants<>+32(SB), Z4, Z4 \
	VPADDQ Z21, Z0, Z0  \
	VPSLLQ $44, Z21, Z22 \
	VPSUBQ Z22, Z1, Z1  \
	VPSLLQ $36, Z21, Z22 \
	VPSUBQ Z22, Z3, Z3  \
	VPSLLQ $16, Z21, Z22 \
	VPADDQ Z22, Z4, Z4  \
	CARRY(Z0, Z1) \
	CARRY(Z1, Z2) \
	CARRY(Z2, Z3) \
	CARRY(Z3, Z4)

// func add(z, x, y *field)
TEXT ·add(SB), NOSPLIT, $0-24
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	LOAD5(SI, Z0, Z1, Z2, Z3, Z4)
	VPADDQ 0(DX), Z0, Z0
	VPADDQ 64(DX), Z1, Z1
	VPADDQ 128(DX), Z2, Z2
	VPADDQ 192(DX), Z3, Z3
	VPADDQ 256(DX), Z4, Z4
	FOLD
	STORE5(DI, Z0, Z1, Z2, Z3, Z4)
	VZEROUPPER
	RET

// func sub(z, x, y *field)
TEXT ·sub(SB), NOSPLIT, $0-24
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	LOAD5(SI, Z0, Z1, Z2, Z3, Z4)
	VPSUBQ 0(DX), Z0, Z0
	VPSUBQ 64(DX), Z1, Z1
	VPSUBQ 128(DX), Z2, Z2
	VPSUBQ 192(DX), Z3, Z3
	VPSUBQ 256(DX), Z4, Z4
	VPADDQ.BCST constants<>+40(SB), Z0, Z0
	VPADDQ.BCST constants<>+48(SB), Z1, Z1
	VPADDQ.BCST constants<>+56(SB), Z2, Z2
	VPADDQ.BCST constants<>+64(SB), Z3, Z3
	VPADDQ.BCST constants<>+72(SB), Z4, Z4
	FOLD
	STORE5(DI, Z0, Z1, Z2, Z3, Z4)
	VZEROUPPER
	RET

// func choose(z *point, table *[16]point, index uint64)
TEXT ·choose(SB), NOSPLIT, $0-24
	MOVQ z+0(FP), DI
	MOVQ table+8(FP), SI
	MOVQ index+16(FP), DX
	VPXORQ Z0, Z0, Z0
	VPXORQ Z1, Z1, Z1
	VPXORQ Z2, Z2, Z2
	VPXORQ Z3, Z3, Z3
	VPXORQ Z4, Z4, Z4
	VPXORQ Z5, Z5, Z5
	VPXORQ Z6, Z6, Z6
	VPXORQ Z7, Z7, Z7
	VPXORQ Z8, Z8, Z8
	VPXORQ Z9, Z9, Z9
	VPXORQ Z10, Z10, Z10
	VPXORQ Z11, Z11, Z11
	VPXORQ Z12, Z12, Z12
	VPXORQ Z13, Z13, Z13
	VPXORQ Z14, Z14, Z14
	XORQ CX, CX

entry:
	// AX is all ones if CX = DX, else 0. Every entry is read whatever the index is.
	MOVQ CX, AX
	XORQ DX, AX
	SUBQ $1, AX
	SBBQ AX, AX
	VPBROADCASTQ AX, Z15
	VPTERNLOGQ $0xf8, 0(SI), Z15, Z0 // z | entry & mask
	VPTERNLOGQ $0xf8, 64(SI), Z15, Z1 // z | entry & mask
	VPTERNLOGQ $0xf8, 128(SI), Z15, Z2 // z | entry & mask
	VPTERNLOGQ $0xf8, 192(SI), Z15, Z3 // z | entry & mask
	VPTERNLOGQ $0xf8, 256(SI), Z15, Z4 // z | entry & mask
	VPTERNLOGQ $0xf8, 320(SI), Z15, Z5 // z | entry & mask
	VPTERNLOGQ $0xf8, 384(SI), Z15, Z6 // z | entry & mask
	VPTERNLOGQ $0xf8, 448(SI), Z15, Z7 // z | entry & mask
	VPTERNLOGQ $0xf8, 512(SI), Z15, Z8 // z | entry & mask
	VPTERNLOGQ $0xf8, 576(SI), Z15, Z9 // z | entry & mask
	VPTERNLOGQ $0xf8, 640(SI), Z15, Z10 // z | entry & mask
	VPTERNLOGQ $0xf8, 704(SI), Z15, Z11 // z | entry & mask
	VPTERNLOGQ $0xf8, 768(SI), Z15, Z12 // z | entry & mask
	VPTERNLOGQ $0xf8, 832(SI), Z15, Z13 // z | entry & mask
	VPTERNLOGQ $0xf8, 896(SI), Z15, Z14 // z | entry & mask
	ADDQ $960, SI
	INCQ CX
	CMPQ CX, $16
	JNE  entry
	VMOVDQU64 Z0, 0(DI)
	VMOVDQU64 Z1, 64(DI)
	VMOVDQU64 Z2, 128(DI)
	VMOVDQU64 Z3, 192(DI)
	VMOVDQU64 Z4, 256(DI)
	VMOVDQU64 Z5, 320(DI)
	VMOVDQU64 Z6, 384(DI)
	VMOVDQU64 Z7, 448(DI)
	VMOVDQU64 Z8, 512(DI)
	VMOVDQU64 Z9, 576(DI)
	VMOVDQU64 Z10, 640(DI)
	VMOVDQU64 Z11, 704(DI)
	VMOVDQU64 Z12, 768(DI)
	VMOVDQU64 Z13, 832(DI)
	VMOVDQU64 Z14, 896(DI)
	VZEROUPPER
	RET

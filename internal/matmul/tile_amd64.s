#include "textflag.h"

// ROW adds the products of one element of x, at this offset, with the 32 columns in Z24 and Z25.
#define ROW(at, b, c0, c1) \
	VBROADCASTSS at(SI), b   \
	VFMADD231PS  Z24, b, c0  \
	VFMADD231PS  Z25, b, c1

#define ZERO(c0, c1) \
	VPXORQ c0, c0, c0 \
	VPXORQ c1, c1, c1

#define STORE(at, c0, c1) \
	VMOVUPS c0, at(DI)    \
	VMOVUPS c1, at+64(DI)

// func tile(out, x, w *float32, d int)
TEXT ·tile(SB), NOSPLIT, $0-32
	MOVQ out+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ w+16(FP), DX
	MOVQ d+24(FP), CX
	ZERO(Z0, Z1)
	ZERO(Z2, Z3)
	ZERO(Z4, Z5)
	ZERO(Z6, Z7)
	ZERO(Z8, Z9)
	ZERO(Z10, Z11)
	ZERO(Z12, Z13)
	ZERO(Z14, Z15)
	ZERO(Z16, Z17)
	ZERO(Z18, Z19)
	ZERO(Z20, Z21)
	ZERO(Z22, Z23)

loop:
	VMOVUPS     (DX), Z24
	VMOVUPS     64(DX), Z25
	PREFETCHT0  1024(DX)
	PREFETCHT0  1088(DX)
	ROW(0, Z26, Z0, Z1)
	ROW(4, Z27, Z2, Z3)
	ROW(8, Z28, Z4, Z5)
	ROW(12, Z29, Z6, Z7)
	ROW(16, Z26, Z8, Z9)
	ROW(20, Z27, Z10, Z11)
	ROW(24, Z28, Z12, Z13)
	ROW(28, Z29, Z14, Z15)
	ROW(32, Z26, Z16, Z17)
	ROW(36, Z27, Z18, Z19)
	ROW(40, Z28, Z20, Z21)
	ROW(44, Z29, Z22, Z23)
	ADDQ        $48, SI
	ADDQ        $128, DX
	DECQ        CX
	JNZ         loop

	STORE(0, Z0, Z1)
	STORE(128, Z2, Z3)
	STORE(256, Z4, Z5)
	STORE(384, Z6, Z7)
	STORE(512, Z8, Z9)
	STORE(640, Z10, Z11)
	STORE(768, Z12, Z13)
	STORE(896, Z14, Z15)
	STORE(1024, Z16, Z17)
	STORE(1152, Z18, Z19)
	STORE(1280, Z20, Z21)
	STORE(1408, Z22, Z23)
	VZEROUPPER
	RET

#include "textflag.h"

// ROW adds the products of one element of a with the 16 columns in Z16 and Z17.
#define ROW(from, b, c0, c1) \
	VBROADCASTSD from, b     \
	VFMADD231PD  Z16, b, c0  \
	VFMADD231PD  Z17, b, c1

#define ZERO(c0, c1) \
	VPXORQ c0, c0, c0 \
	VPXORQ c1, c1, c1

// STORE adds one row to c and goes on to the next.
#define STORE(c0, c1) \
	VADDPD  (DI), c0, c0   \
	VADDPD  64(DI), c1, c1 \
	VMOVUPD c0, (DI)       \
	VMOVUPD c1, 64(DI)     \
	ADDQ    R13, DI

// func tall(c *float64, stride int, a *float64, row, step int, b *float64, next, terms int)
TEXT ·tall(SB), NOSPLIT, $0-64
	MOVQ c+0(FP), DI
	MOVQ stride+8(FP), R13
	MOVQ a+16(FP), SI
	MOVQ row+24(FP), R8
	MOVQ step+32(FP), BX
	MOVQ b+40(FP), DX
	MOVQ next+48(FP), R12
	MOVQ terms+56(FP), CX
	SHLQ $3, R13
	SHLQ $3, R8
	SHLQ $3, BX
	SHLQ $3, R12
	LEAQ (R8)(R8*2), R9
	LEAQ (R8)(R8*4), R10
	LEAQ (R9)(R8*4), R11
	ZERO(Z0, Z1)
	ZERO(Z2, Z3)
	ZERO(Z4, Z5)
	ZERO(Z6, Z7)
	ZERO(Z8, Z9)
	ZERO(Z10, Z11)
	ZERO(Z12, Z13)
	ZERO(Z14, Z15)

loop:
	VMOVUPD (DX), Z16
	VMOVUPD 64(DX), Z17
	ROW((SI), Z18, Z0, Z1)
	ROW((SI)(R8*1), Z19, Z2, Z3)
	ROW((SI)(R8*2), Z20, Z4, Z5)
	ROW((SI)(R9*1), Z21, Z6, Z7)
	ROW((SI)(R8*4), Z22, Z8, Z9)
	ROW((SI)(R10*1), Z23, Z10, Z11)
	ROW((SI)(R9*2), Z24, Z12, Z13)
	ROW((SI)(R11*1), Z25, Z14, Z15)
	ADDQ    BX, SI
	ADDQ    R12, DX
	DECQ    CX
	JNZ     loop

	STORE(Z0, Z1)
	STORE(Z2, Z3)
	STORE(Z4, Z5)
	STORE(Z6, Z7)
	STORE(Z8, Z9)
	STORE(Z10, Z11)
	STORE(Z12, Z13)
	STORE(Z14, Z15)
	VZEROUPPER
	RET

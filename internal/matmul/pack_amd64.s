#include "textflag.h"

// PUT stores four rows' values of two columns: the first half of v at column c and the second at column c+4.
#define PUT(v, x, c, c4) \
	VMOVUPS      x, (c)          \
	VEXTRACTF128 $1, v, (c4)

// func packFour(dst, src *float32, panel, row, blocks int)
TEXT ·packFour(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ panel+16(FP), AX     // bytes between columns of dst
	MOVQ row+24(FP), BX       // bytes between rows of src
	MOVQ blocks+32(FP), CX
	LEAQ (BX)(BX*2), R13      // three rows
	LEAQ (AX)(AX*2), R12      // three columns

block:
	VMOVUPS   (SI), Y0
	VMOVUPS   (SI)(BX*1), Y1
	VMOVUPS   (SI)(BX*2), Y2
	VMOVUPS   (SI)(R13*1), Y3
	VUNPCKLPS Y1, Y0, Y4
	VUNPCKHPS Y1, Y0, Y5
	VUNPCKLPS Y3, Y2, Y6
	VUNPCKHPS Y3, Y2, Y7
	VSHUFPS   $0x44, Y6, Y4, Y8
	VSHUFPS   $0xEE, Y6, Y4, Y9
	VSHUFPS   $0x44, Y7, Y5, Y10
	VSHUFPS   $0xEE, Y7, Y5, Y11
	LEAQ      (DI)(AX*4), DX
	PUT(Y8, X8, DI, DX)
	LEAQ      (DI)(AX*1), R8
	LEAQ      (DX)(AX*1), R9
	PUT(Y9, X9, R8, R9)
	LEAQ      (DI)(AX*2), R8
	LEAQ      (DX)(AX*2), R9
	PUT(Y10, X10, R8, R9)
	LEAQ      (DI)(R12*1), R8
	LEAQ      (DX)(R12*1), R9
	PUT(Y11, X11, R8, R9)
	ADDQ      $32, SI
	LEAQ      (DX)(AX*4), DI
	DECQ      CX
	JNZ       block
	VZEROUPPER
	RET

// Package gemm multiplies float64 matrices on the host with the vector instructions of the machine.
//
// # Overview
//
//   - Gram: the symmetric product sum_k p_k p_k' of packed rows, half the work of a full product.
//   - AddGram: the same for rows that lie in memory as a matrix.
//   - AddTransMul, AddMulTrans: a'b and ab' for tall and wide matrices.
//
// # Invariants
//
// Every element is a sum over k in order, in fused multiply-adds within a panel of panelRows terms, so that the result
// depends neither on the machine's vector width nor on the number of workers.
package gemm

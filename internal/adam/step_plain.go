//go:build !(amd64 && goexperiment.simd)

package adam

// Step updates weights w and moments m and v by gradient g. All have the length of w.
func Step(k *Coef, w, m, v, g []float32) { StepPlain(k, w, m, v, g) }

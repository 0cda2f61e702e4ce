package stats

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// studentTwoSided is P(|T| >= |t|) for Student's t with df degrees of freedom, I_{df/(df+t²)}(df/2, 1/2). The incomplete
// beta function keeps its relative precision in the tail; 1 - CDF would not.
func studentTwoSided(t, df float64) float64 {
	if math.IsInf(t, 0) {
		return 0
	}
	return mathext.RegIncBeta(df/2, 0.5, df/(df+t*t))
}

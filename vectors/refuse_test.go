package vectors

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// TestRefuses: every entry point says what is wrong with bad input, by the right sentinel and with a package prefix.
func TestRefuses(t *testing.T) {
	x, y, _ := planted(1, 30, 4, 2, 1)
	bad := mat.DenseCopyOf(x)
	bad.Set(3, 2, math.NaN())
	infinite := mat.DenseCopyOf(x)
	infinite.Set(0, 0, math.Inf(1))
	one, strange, short := make([]int, 30), append([]int(nil), y...), y[:29]
	strange[4] = 7
	flatX := mat.DenseCopyOf(x) // a constant feature: the covariance is singular
	for i := range 30 {
		flatX.Set(i, 1, 2)
	}
	z := ok(OneHot(y, 2))(t)
	ctx := t.Context()
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	cases := map[string]struct {
		call func() error
		want error
	}{
		"NaN":                     {func() error { _, err := DiffOfMeans(bad, y); return err }, ErrNotFinite},
		"Inf":                     {func() error { _, err := FitPCA(infinite, 1, Centred); return err }, ErrNotFinite},
		"empty":                   {func() error { _, err := DiffOfMeans(&mat.Dense{}, y); return err }, ErrShape},
		"nil":                     {func() error { _, err := DiffOfMeans(nil, y); return err }, ErrShape},
		"one class":               {func() error { _, err := MassMean(x, one); return err }, ErrClasses},
		"one class, logistic":     {func() error { _, err := Logistic(ctx, x, one, 1); return err }, ErrClasses},
		"one class, multinomial":  {func() error { _, err := Multinomial(ctx, x, one, 1); return err }, ErrClasses},
		"one class, INLP":         {func() error { _, err := INLP(ctx, x, one, DefaultINLP()); return err }, ErrClasses},
		"unknown class":           {func() error { _, err := DiffOfMeans(x, strange); return err }, ErrClasses},
		"empty class":             {func() error { _, _, err := ClassMeans(x, strange); return err }, ErrClasses},
		"huge label":              {func() error { _, err := OneHot([]int{0, 1 << 40}, 0); return err }, ErrClasses},
		"fewer labels":            {func() error { _, err := LDA(x, short, false); return err }, ErrShape},
		"constant feature, LDA":   {func() error { _, err := LDA(flatX, y, false); return err }, ErrSingular},
		"constant feature, mass":  {func() error { _, err := MassMeanCov(flatX, y, CovarianceOptions{}); return err }, ErrSingular},
		"least squares, singular": {func() error { _, err := Ridge(flatX, make([]float64, 30), 0); return err }, ErrSingular},
		"negative ridge":          {func() error { _, err := Ridge(x, make([]float64, 30), -1); return err }, ErrArgument},
		"zero C":                  {func() error { _, err := Logistic(ctx, x, y, 0); return err }, ErrArgument},
		"cancelled":               {func() error { _, err := Logistic(stopped, x, y, 1); return err }, context.Canceled},
		"too many components":     {func() error { _, err := FitPCA(x, 5, Centred); return err }, ErrArgument},
		"centring":                {func() error { _, err := FitPCA(x, 1, "median"); return err }, ErrArgument},
		"rows that do not vary":   {func() error { _, err := FitPCA(mat.NewDense(3, 2, nil), 1, Centred); return err }, ErrSingular},
		"unequal pairs":           {func() error { _, err := CAA(Pairs{Pos: x, Neg: normalRows(1, 29, 4)}); return err }, ErrShape},
		"equal pairs":             {func() error { _, err := PairPCA(Pairs{Pos: x, Neg: x}, PairDiff); return err }, ErrSingular},
		"pair method":             {func() error { _, err := PairPCA(Pairs{Pos: x, Neg: normalRows(1, 30, 4)}, "sum"); return err }, ErrArgument},
		"probe of another width":  {func() error { _, err := Linear{Weights: []float64{1}}.Scores(x); return err }, ErrShape},
		"CAV of one row a class": {func() error {
			_, err := FitCAV(ctx, rows([]float64{1}, []float64{2}), []int{0, 1}, DefaultCAV())
			return err
		}, ErrClasses},
		"CAV held_out":            {func() error { _, err := FitCAV(ctx, x, y, CAVConfig{C: 1, Level: 0.9}); return err }, ErrArgument},
		"TCAV gradients' width":   {func() error { _, err := TCAV(ctx, x, y, normalRows(1, 3, 5), DefaultTCAV()); return err }, ErrShape},
		"TCAV permutation":        {func() error { _, err := TCAVFrom(ctx, x, y, x, 1, [][]int{{0, 0}}); return err }, ErrArgument},
		"TCAV zero gradients":     {func() error { _, err := TCAV(ctx, x, y, mat.NewDense(3, 4, nil), DefaultTCAV()); return err }, ErrArgument},
		"LEACE NaN":               {func() error { _, err := FitLEACE(bad, z, DefaultLEACE()); return err }, ErrNotFinite},
		"LEACE rows of z":         {func() error { _, err := FitLEACE(x, normalRows(1, 29, 2), DefaultLEACE()); return err }, ErrShape},
		"LEACE one row":           {func() error { _, err := FitLEACE(normalRows(1, 1, 4), normalRows(1, 1, 2), DefaultLEACE()); return err }, ErrArgument},
		"LEACE tolerance":         {func() error { _, err := FitLEACE(x, z, LEACEConfig{RelativeTolerance: 2}); return err }, ErrArgument},
		"eraser of another width": {func() error { e, _ := RandomProjection(3, 1, 1); _, err := e.Apply(x); return err }, ErrShape},
		"zero direction":          {func() error { _, err := Ablation(mat.NewDense(1, 4, nil)); return err }, ErrArgument},
		"random subspace":         {func() error { _, err := RandomProjection(3, 4, 1); return err }, ErrArgument},
		"quadratic, tiny class":   {quadraticOf(x, append([]int{1}, make([]int, 29)...)), ErrArgument},
		"SAL rank":                {func() error { m, _ := jointMoments(x, z); _, err := SAL(m, 3); return err }, ErrArgument},
		"NMF negative":            {func() error { _, err := NMF(ctx, x, normalRows(1, 30, 2), normalRows(1, 2, 4), 1); return err }, ErrArgument},
		"NMF shapes": {func() error {
			one := mat.NewDense(1, 1, []float64{1})
			_, err := NMF(ctx, one, one, mat.NewDense(1, 2, []float64{1, 1}), 1)
			return err
		}, ErrShape},
		"steering with NaN": {func() error {
			_, err := Steering{Vector: []float64{1, 0, 0, 0}, Strength: math.NaN()}.Apply(x)
			return err
		}, ErrNotFinite},
		"unit of zero":            {func() error { _, err := Unit([]float64{0, 0}); return err }, ErrArgument},
		"lens norm":               {func() error { _, err := (&Lens{Norm: "batch", Unembed: identity(4)}).Logits(x); return err }, ErrArgument},
		"lens width":              {func() error { _, err := (&Lens{Norm: NoNorm, Unembed: identity(3)}).Logits(x); return err }, ErrShape},
		"top of too few tokens":   {func() error { _, err := TopTokens(x, []float64{1, 1, 1, 1}, 31); return err }, ErrArgument},
		"vector of another model": {func() error { _, err := TopTokens(x, []float64{1, 1}, 3); return err }, ErrShape},
		"nothing to compare with": {func() error { _, err := CompareVectors(context.Background(), x, x, normalRows(1, 2, 4), 3); return err }, ErrShape},
		"INLP rounds":             {func() error { _, err := INLP(ctx, x, y, INLPConfig{C: 1}); return err }, ErrArgument},
		"scatter of no width":     {func() error { _, err := NewScatter(0); return err }, ErrArgument},
	}
	for name, c := range cases {
		err := c.call()
		if !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want one that is %v", name, err, c.want)
		} else if !strings.Contains(err.Error(), "vectors: ") {
			t.Errorf("%s: error %q does not name the package", name, err)
		}
	}
}

func quadraticOf(x *mat.Dense, y []int) func() error {
	return func() error {
		_, d := x.Dims()
		f, err := NewQuadraticFitter(d, 2)
		if err != nil {
			return err
		}
		if err := f.Update(x, y); err != nil {
			return err
		}
		_, err = f.Eraser(context.Background(), false)
		return err
	}
}

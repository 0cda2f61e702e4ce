package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"loupe/internal/config"
	"loupe/vectors"
)

// Function is a fitted probe of single activations.
type Function interface {
	Outputs() int
	// Scores returns [n, outputs] for rows x: of a concept its log-odds (or a number that grows with them), of several
	// classes one a class, of a regression the value.
	Scores(x Rows) ([]float64, error)
}

// The methods.
const (
	MethodLogistic   = "logistic"
	MethodElasticNet = "elastic-net"
	MethodRidge      = "ridge"
	MethodLDA        = "lda"
	MethodMassMean   = "mass-mean"
	MethodKSparse    = "k-sparse"
	MethodQuadratic  = "quadratic"
	MethodMLP        = "mlp"
	MethodCCS        = "ccs"       // of rows that hold both sides of a contrast pair: see PairProbe
	MethodAttention  = "attention" // of the tokens of texts: no Function, see FitAttention
)

// Methods lists the methods that fit a Function: all but attention.
func Methods() []string {
	return []string{MethodLogistic, MethodElasticNet, MethodRidge, MethodLDA, MethodMassMean, MethodKSparse, MethodQuadratic, MethodMLP, MethodCCS}
}

// Method is a method with its settings.
type Method struct {
	Name       string           `json:"method" enum:"logistic,elastic-net,ridge,lda,mass-mean,k-sparse,quadratic,mlp,ccs,attention" doc:"what is fitted"`
	Logistic   LogisticConfig   `json:"logistic" doc:"logistic, and the last step of k-sparse and quadratic"`
	ElasticNet ElasticNetConfig `json:"elastic_net" doc:"elastic-net, and k-sparse where it selects"`
	Ridge      RidgeConfig      `json:"ridge" doc:"ridge"`
	LDA        LDAConfig        `json:"lda" doc:"lda"`
	MassMean   MassMeanConfig   `json:"mass_mean" doc:"mass-mean"`
	KSparse    SparseConfig     `json:"k_sparse" doc:"k-sparse"`
	Quadratic  QuadraticConfig  `json:"quadratic" doc:"quadratic"`
	MLP        MLPConfig        `json:"mlp" doc:"mlp"`
	CCS        CCSConfig        `json:"ccs" doc:"ccs"`
	Attention  AttentionConfig  `json:"attention" doc:"attention"`
}

// DefaultMethod returns a method with every default.
func DefaultMethod(name string) Method {
	return Method{
		Name: name, Logistic: DefaultLogistic(), ElasticNet: DefaultElasticNet(), LDA: DefaultLDA(), MassMean: DefaultMassMean(),
		KSparse: DefaultSparse(), Quadratic: QuadraticConfig{Components: 32}, MLP: DefaultMLP(), CCS: DefaultCCS(), Attention: DefaultAttention(),
	}
}

// Validate checks the settings of the method that is named.
func (m Method) Validate() error {
	switch m.Name {
	case MethodLogistic:
		return m.Logistic.Validate()
	case MethodElasticNet:
		return m.ElasticNet.Validate()
	case MethodRidge:
		return m.Ridge.Validate()
	case MethodLDA:
		return m.LDA.Validate()
	case MethodMassMean:
		return nil
	case MethodKSparse:
		return first(m.KSparse.Validate(), m.Logistic.Validate(), m.ElasticNet.Validate())
	case MethodQuadratic:
		return first(m.Quadratic.Validate(), m.Logistic.Validate())
	case MethodMLP:
		return m.MLP.Validate()
	case MethodCCS:
		return m.CCS.Validate()
	case MethodAttention:
		return m.Attention.Validate()
	}
	if near, ok := config.Nearest(m.Name, Methods()); ok {
		return fmt.Errorf("probe: method %q is unknown: %w; did you mean %q?", m.Name, vectors.ErrArgument, near)
	}
	return fmt.Errorf("probe: method %q is unknown: %w; use one of %s", m.Name, vectors.ErrArgument, strings.Join(Methods(), ", "))
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Probabilistic tells whether scores are log-odds (or logits), so that probabilities and code lengths follow from them
// without calibration.
func (m Method) Probabilistic() bool {
	return !slices.Contains([]string{MethodRidge, MethodMassMean}, m.Name)
}

// Fit fits a probe to each target; all targets share the rows x. group [n] keeps rows of one group together in inner
// splits (nil: each its own).
func (m Method) Fit(ctx context.Context, x Rows, targets []Target, group []int, seed uint64) ([]Function, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	out := make([]Function, len(targets))
	switch m.Name {
	case MethodAttention:
		return nil, fmt.Errorf("probe: method %s reads the tokens of texts, not single activations: %w; use FitAttention", m.Name, vectors.ErrArgument)
	case MethodLogistic:
		return m.fitLogistic(ctx, x, targets)
	case MethodQuadratic:
		fits, err := FitQuadratic(ctx, x, targets, m.Quadratic, m.Logistic)
		if err != nil {
			return nil, err
		}
		for i, f := range fits {
			out[i] = f
		}
		return out, nil
	case MethodMLP:
		fits, err := FitMLP(ctx, x, targets, group, m.MLP, seed)
		if err != nil {
			return nil, err
		}
		for i, f := range fits {
			out[i] = f
		}
		return out, nil
	case MethodRidge:
		fits, err := Ridge(x, targets, m.Ridge)
		if err != nil {
			return nil, err
		}
		for i, f := range fits {
			out[i] = f.Linear
		}
		return out, nil
	}
	for i, t := range targets {
		var err error
		if m.Name == MethodCCS {
			out[i], err = FitPairProbe(ctx, x, t, m.CCS, seed)
		} else {
			out[i], err = m.fitLinear(ctx, x, t, group, seed)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// fitLinear fits the methods that take one target at a time.
func (m Method) fitLinear(ctx context.Context, x Rows, t Target, group []int, seed uint64) (l Linear, err error) {
	switch m.Name {
	case MethodElasticNet:
		p, err := FitElasticNet(ctx, x, t, group, m.ElasticNet, seed)
		return p.Linear, err
	case MethodLDA:
		return LDA(x, t, m.LDA)
	case MethodMassMean:
		return MassMean(x, t, m.MassMean)
	}
	l, _, err = KSparse(ctx, x, t, m.KSparse, m.Logistic, m.ElasticNet)
	return l, err
}

// fitLogistic fits binary targets together and targets of several classes together.
func (m Method) fitLogistic(ctx context.Context, x Rows, targets []Target) ([]Function, error) {
	out := make([]Function, len(targets))
	for _, fit := range []struct {
		task Task
		with func(context.Context, Rows, []Target, LogisticConfig) ([]Linear, error)
	}{{Binary, Logistic}, {Multiclass, Multinomial}} {
		var of []int
		for i, t := range targets {
			if t.Task == fit.task || fit.task == Binary && t.Task != Multiclass { // Logistic refuses a regression
				of = append(of, i)
			}
		}
		if len(of) == 0 {
			continue
		}
		fits, err := fit.with(ctx, x, pick(targets, of), m.Logistic)
		if err != nil {
			return nil, err
		}
		for i, at := range of {
			out[at] = fits[i]
		}
	}
	return out, nil
}

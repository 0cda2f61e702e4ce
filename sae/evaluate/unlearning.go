package evaluate

import (
	"context"
	"errors"
	"fmt"

	"loupe/internal/stats"
	"loupe/probe/model"
	"loupe/sae"
)

// unlearningClamps are SAEBench's, for Gemma's activations, and smaller ones for smaller models.
var unlearningClamps = []float64{1, 5, 25, 50, 100, 200}

// Unlearning asks how far clamping a few latents makes the model forget some questions and keep others (sae.Unlearning): those of the
// bench, else capitals to forget and opposites, young animals and months to keep. Accuracy is that of the choice whose first
// token is likeliest. PCA has no latents that can be told active, so that the random directions are the control.
func (b *Bench) Unlearning(ctx context.Context, dicts []*Dictionary) (*Outcome, error) {
	if b.Subject == nil || b.Subject.Tokenizer == nil {
		return nil, errNoModel
	}
	if !b.Subject.Model.Spec.Decoder {
		return nil, fmt.Errorf("%w: %s is a text encoder and answers no questions", errLeftOut, b.Subject.Model.Name)
	}
	forget, retain, err := b.questions()
	if err != nil {
		return nil, err
	}
	o := &Outcome{
		Suite:   "unlearning",
		On:      fmt.Sprintf("%d questions to forget, %d to keep, asked of %s; one number, without an interval", len(forget), len(retain), b.Subject.Model.Name),
		Metrics: []Metric{{Name: "unlearning", Better: Higher}, {Name: "forget_accuracy"}, {Name: "retain_accuracy"}, {Name: "clean_forget_accuracy"}, {Name: "clean_retain_accuracy"}},
	}
	bar := b.progress("unlearning", "dictionaries", int64(len(dicts)))
	defer bar.Done()
	for _, d := range dicts {
		switch {
		case d.Transcoder() || len(d.Sites) > 1:
			o.leaveOut(d, "its latents write another site than they read")
		case d.Control == ControlPCA:
			o.leaveOut(d, "coordinates have no active state to clamp")
		default:
			score, err := b.unlearning(ctx, d, forget, retain)
			if err != nil {
				return nil, fmt.Errorf("evaluate: %s: %w", d.Name, err)
			}
			o.Scores = append(o.Scores, score)
		}
		bar.Add(1)
	}
	if len(o.Scores) == 0 {
		return nil, fmt.Errorf("%w: no dictionary reads and writes one site", errLeftOut)
	}
	o.noteModel(b)
	return o, nil
}

func (b *Bench) unlearning(ctx context.Context, d *Dictionary, forget, retain []Question) (Score, error) {
	s := b.Subject
	site, err := s.site(d, d.Sites)
	if err != nil {
		return Score{}, err
	}
	var sets [2]*exam
	var density [2][]float64
	for i, q := range [][]Question{forget, retain} {
		if density[i], err = b.questionDensity(ctx, d, site, q); err != nil {
			return Score{}, err
		}
		if sets[i], err = s.exam(ctx, d, site, q); err != nil {
			return Score{}, err
		}
	}
	cfg := sae.DefaultUnlearningConfig()
	cfg.Clamp = unlearningClamps
	r, err := sae.Unlearning(ctx, density[0], density[1], cfg, func(ctx context.Context, latents []int32, value float64) (float64, float64, error) {
		var accuracy [2]float64
		for i := range sets {
			var err error
			if accuracy[i], err = sets[i].accuracy(ctx, latents, -value); err != nil {
				return 0, 0, err
			}
		}
		return accuracy[0], accuracy[1], nil
	})
	if err != nil {
		return Score{}, err
	}
	best := r.Clean
	if r.Best >= 0 {
		best = r.Points[r.Best]
	}
	return Score{Dictionary: d.Name, Detail: r, Values: map[string]stats.Interval{
		"unlearning": exact(r.Score), "forget_accuracy": exact(best.Forget), "retain_accuracy": exact(best.Retain),
		"clean_forget_accuracy": exact(r.Clean.Forget), "clean_retain_accuracy": exact(r.Clean.Retain),
	}}, nil
}

// questions are the bench's, or the built-in ones.
func (b *Bench) questions() (forget, retain []Question, err error) {
	if b.Forget != nil && b.Retain != nil {
		return b.Forget, b.Retain, nil
	}
	if b.Forget != nil || b.Retain != nil {
		return nil, nil, errors.New("evaluate: unlearning needs questions to forget and questions to keep, or neither for the built-in ones")
	}
	return builtinQuestions(b.Seed)
}

// questionDensity is the share of the tokens of questions and their answers on which each latent is active.
func (b *Bench) questionDensity(ctx context.Context, d *Dictionary, site model.Site, list []Question) ([]float64, error) {
	var texts []string
	for _, q := range list {
		texts = append(texts, q.Question+" "+q.Choices[q.Answer])
	}
	a, err := b.Subject.Activations(ctx, site, texts, nil)
	if err != nil {
		return nil, err
	}
	lat, err := d.encode(ctx, a.X)
	if err != nil {
		return nil, err
	}
	density := make([]float64, d.Latents)
	rows := 0.0
	for r, special := range a.Special {
		if special {
			continue
		}
		rows++
		index, value := lat.Row(r)
		for j, l := range index {
			if value[j] != 0 {
				density[l]++
			}
		}
	}
	for l := range density {
		density[l] /= rows
	}
	return density, nil
}

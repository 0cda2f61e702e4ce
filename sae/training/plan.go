package training

import (
	"context"
	"fmt"

	"loupe/sae"
)

// Plan says what a run would do and cost. It is made of the configuration, of one batch that is read, and of training steps
// on it.
type Plan struct {
	Backend   string    `json:"backend"`
	Data      string    `json:"data"`  // what is read
	Epoch     int64     `json:"epoch"` // rows there are, 0 where that is not known
	Tokens    int64     `json:"tokens"`
	Steps     int64     `json:"steps"`
	Batch     int       `json:"batch"`
	SAEs      []SAEPlan `json:"saes"`
	All       sae.Cost  `json:"all"`        // of all SAEs together
	DataBytes int64     `json:"data_bytes"` // on the host: a batch, the sample at the start, and the buffer of rows without a store
	DiskBytes int64     `json:"disk_bytes"` // in the run folder: SAEs and two checkpoints
	ReadTime  float64   `json:"read_s"`     // seconds of reading, or of the model, for all rows
	Seconds   float64   `json:"seconds"`    // of the run, evaluation and AuxK left out
	PerSecond float64   `json:"rows_per_s"` // that all SAEs are trained on
}

// SAEPlan is one SAE of a plan.
type SAEPlan struct {
	Name    string   `json:"name"`
	Arch    string   `json:"architecture"`
	Inputs  []string `json:"inputs"`
	Targets []string `json:"targets,omitempty"`
	Engine  string   `json:"engine"`
	sae.Cost
	StepTime float64 `json:"step_s"`  // seconds of a step, measured
	Seconds  float64 `json:"seconds"` // of all steps
}

// Plan measures what the job would take. It writes nothing.
func (j *Job) Plan(ctx context.Context) (*Plan, error) {
	src, done, err := j.data.sample(ctx, j.sites)
	if err != nil {
		return nil, err
	}
	defer done()
	steps, read, err := sae.MeasureGroup(j.backend, j.members, src)
	if err != nil {
		return nil, err
	}
	first := steps[0].Config
	p := &Plan{Backend: j.backend.String(), Tokens: first.Steps() * int64(first.Batch), Steps: first.Steps(), Batch: first.Batch}
	model, corpus := j.data.names()
	p.Data = fmt.Sprintf("%s of %s over %s", plural(len(j.sites), "site"), model, corpus)
	cost, err := j.data.cost(ctx)
	if err != nil {
		return nil, err
	}
	if cost.perRow == 0 {
		cost.perRow = read.Seconds() / float64(first.Batch)
	}
	p.Epoch, p.ReadTime = cost.rows, cost.perRow*float64(p.Tokens)
	width, sample := 0, 0
	for _, s := range src.Sites() {
		width += s.Width
	}
	for _, m := range steps {
		sample = max(sample, m.Config.InitRows)
	}
	p.DataBytes = 4 * int64(width) * int64(first.Batch+sample+cost.buffer)
	p.Seconds = p.ReadTime
	for _, m := range steps {
		p.add(m)
	}
	p.PerSecond = float64(p.Tokens) / p.Seconds
	return p, nil
}

// dataCost is what reading takes.
type dataCost struct {
	rows   int64   // of one epoch
	perRow float64 // seconds; 0: what the measured batch took
	buffer int     // rows kept in memory
}

// add takes in one SAE.
func (p *Plan) add(m sae.Measured) {
	s := SAEPlan{Name: m.Name, Arch: m.Config.Arch, Inputs: m.Inputs, Targets: m.Targets, Engine: m.Engine, Cost: m.Config.Cost(m.Engine), StepTime: m.Step.Seconds()}
	s.Seconds = s.StepTime * float64(p.Steps)
	p.SAEs = append(p.SAEs, s)
	p.All.Params += s.Params
	p.All.DenseFLOPs += s.DenseFLOPs
	p.All.SparseFLOPs += s.SparseFLOPs
	if s.SparseFLOPs == 0 {
		p.All.SparseFLOPs += s.DenseFLOPs
	}
	p.All.HostBytes += s.HostBytes
	p.All.DeviceBytes += s.DeviceBytes
	p.DiskBytes += 4*s.Params + 2*12*s.Params
	p.Seconds += s.Seconds
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/pjrt"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/backend"
)

// probeTimeout bounds the check of one backend.
const probeTimeout = 2 * time.Minute

// probe is what one backend did in a process of its own.
type probe struct {
	Backend     string   `json:"backend"`
	Working     bool     `json:"working"`
	Plugin      string   `json:"plugin,omitempty"`
	API         string   `json:"api_version,omitempty"` // of PJRT
	Attributes  []string `json:"attributes,omitempty"`
	Description string   `json:"description,omitempty"`
	Devices     []string `json:"devices,omitempty"`
	OpenMS      float64  `json:"open_ms,omitempty"`
	FirstMS     float64  `json:"first_run_ms,omitempty"` // with compilation
	RunMS       float64  `json:"run_ms,omitempty"`
	Error       string   `json:"error,omitempty"`
}

// probeSize is the edge of the matrices that a probe multiplies.
const probeSize = 512

// probeBackend opens the backend called name and multiplies two matrices of small integers, whose product is exact in float32.
// It reports the plugin's path first, so that the caller knows it even if the plugin kills the process.
func probeBackend(name string, report func(probe) error) error {
	p := probe{Backend: name}
	switch {
	case name == "xla:cpu" || name == "xla:cuda":
		p.Plugin = backend.FindPlugin(strings.TrimPrefix(name, "xla:"))
	case strings.HasPrefix(name, "xla:"):
		p.Plugin = strings.TrimPrefix(name, "xla:")
	}
	if err := report(p); err != nil {
		return err
	}
	if err := p.run(); err != nil {
		p.Error = err.Error()
	}
	p.Working = p.Error == ""
	return report(p)
}

func (p *probe) run() error {
	start := time.Now()
	b, err := backend.Open(p.Backend)
	if err != nil {
		return err
	}
	defer b.Finalize()
	p.OpenMS = milliseconds(start)
	p.Description = b.Description()
	for i := range b.NumDevices() {
		p.Devices = append(p.Devices, b.DeviceDescription(compute.DeviceNum(i)))
	}
	if len(p.Devices) == 0 {
		return fmt.Errorf("%s has no device", p.Backend)
	}
	p.describePlugin()
	x, y, want := probeMatrices()
	exec, err := NewExec(b, func(x, y *Node) *Node { return Einsum("ij,jk->ik", x, y) })
	if err != nil {
		return err
	}
	for _, took := range []*float64{&p.FirstMS, &p.RunMS} {
		start = time.Now()
		out, err := exec.Call1(x, y)
		if err != nil {
			return err
		}
		got, err := tensors.CopyFlatData[float32](out)
		*took = milliseconds(start)
		if err != nil {
			return err
		}
		if !slices.Equal(got, want) {
			return errors.New("a product of two matrices of integers came out wrong")
		}
	}
	return nil
}

// describePlugin adds what the loaded plugin says about itself.
func (p *probe) describePlugin() {
	if p.Plugin == "" {
		return
	}
	path, err := filepath.Abs(p.Plugin)
	if err != nil {
		return
	}
	plugin, err := pjrt.GetPlugin(path)
	if err != nil {
		return
	}
	major, minor := plugin.Version()
	p.API = fmt.Sprintf("%d.%d", major, minor)
	for key, value := range plugin.Attributes() {
		p.Attributes = append(p.Attributes, fmt.Sprintf("%s=%v", key, value))
	}
	slices.Sort(p.Attributes)
}

// probeMatrices returns x, y [probeSize, probeSize] of integers from -5 to 5 and the values of their product, row by row.
func probeMatrices() (x, y *tensors.Tensor, product []float32) {
	const n = probeSize
	xs, ys, product := make([]float32, n*n), make([]float32, n*n), make([]float32, n*n)
	for i := range n {
		for j := range n {
			xs[i*n+j] = float32((7*i+3*j)%11 - 5)
			ys[i*n+j] = float32((5*i+2*j)%11 - 5)
		}
	}
	for i := range n {
		for k := range n {
			for j := range n {
				product[i*n+j] += xs[i*n+k] * ys[k*n+j]
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(xs, n, n), tensors.FromFlatDataAndDimensions(ys, n, n), product
}

func milliseconds(start time.Time) float64 { return float64(time.Since(start).Microseconds()) / 1e3 }

// prober runs the probe of one backend.
type prober func(ctx context.Context, name string) probe

// childProber probes in a child process: the command prefix followed by `doctor --probe NAME`. A plugin that crashes or hangs takes
// only the child with it.
func childProber(command ...string) prober {
	return func(ctx context.Context, name string) probe {
		p := probe{Backend: name}
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		args := append(slices.Clone(command[1:]), "doctor", "--probe", name)
		cmd := exec.CommandContext(ctx, command[0], args...)
		cmd.WaitDelay = 5 * time.Second
		var errout tail
		cmd.Stderr = &errout
		stdout, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			p.Error = err.Error()
			return p
		}
		lines := json.NewDecoder(stdout)
		reports := 0
		for reports < 2 && lines.Decode(&p) == nil {
			reports++
		}
		err = cmd.Wait()
		switch {
		case ctx.Err() != nil:
			p.Working, p.Error = false, fmt.Sprintf("no answer in %s", probeTimeout)
		case reports < 2:
			p.Working, p.Error = false, fmt.Sprintf("the process died (%v): %s", err, errout.cause())
		}
		return p
	}
}

// tail keeps the beginning of what a process wrote to standard error.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	const limit = 16 << 10
	t.text = append(t.text, p[:min(len(p), limit-len(t.text))]...)
	return len(p), nil
}

// cause is the line that says why a process died.
func (t *tail) cause() string {
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	for _, prefix := range []string{"panic:", "fatal error:", "SIG", "F"} {
		for _, line := range lines {
			if strings.HasPrefix(line, prefix) {
				return line
			}
		}
	}
	return lines[len(lines)-1]
}

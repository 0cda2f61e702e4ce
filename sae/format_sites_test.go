package sae

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/safetensors"
	"loupe/internal/torchzip"
)

// TestCrosscoderFormats writes each kind in each format that can hold it, reads it, compares to the bit, and writes it again:
// equal bytes. What a tool cannot express is refused before anything is written.
func TestCrosscoderFormats(t *testing.T) {
	for _, format := range []string{FormatCrosscoder, FormatSoFCrosscoder, FormatKissaneCrosscoder} {
		for _, k := range crosscoderKinds {
			for _, name := range []string{"folder", "file.pt"} {
				if name != "folder" && (format == FormatCrosscoder || k.norm == CodeNormMixed) {
					continue // a .pt file does not hold the mixture's weights
				}
				c := randomCrosscoder(t, 2, 4, 8, k.activation, k.norm)
				c.Scales = nil
				can := format == FormatCrosscoder ||
					format == FormatSoFCrosscoder && (k.activation == ActivationReLU || k.activation == ActivationBatchTopK) ||
					format == FormatKissaneCrosscoder && k.activation == ActivationReLU
				path := filepath.Join(t.TempDir(), name)
				_, err := WriteCoder(c, path, format)
				if (err == nil) != can {
					t.Errorf("%s/%s as %s: %v", k.activation, k.norm, format, err)
				}
				if !can {
					if _, err := os.Stat(path); err == nil {
						t.Errorf("%s as %s: refused, but something was written", k.activation, format)
					}
					continue
				}
				got, found, err := ReadCoder(path)
				if err != nil {
					t.Fatalf("%s/%s as %s %s: %v", k.activation, k.norm, format, name, err)
				}
				again := got.(*Crosscoder)
				if found != format || again.Shape() != c.Shape() || again.Norm != c.Norm || k.norm == CodeNormMixed && (again.AlphaSAE != c.AlphaSAE || again.AlphaCC != c.AlphaCC) {
					t.Errorf("%s/%s as %s: found %s, %+v", k.activation, k.norm, format, found, again)
				}
				for i, s := range c.tensors() {
					nearly(t, format+" "+s.name, *again.tensors()[i].at, *s.at, 0, 0)
				}
				second := filepath.Join(t.TempDir(), name)
				if _, err := WriteCoder(again, second, format); err != nil {
					t.Fatal(err)
				}
				if a, b := treeBytes(t, filepath.Dir(path)), treeBytes(t, filepath.Dir(second)); !bytes.Equal(a, b) && format != FormatCrosscoder {
					third, _, err := ReadCoder(second) // the configuration may gain keys once
					if err != nil {
						t.Fatal(err)
					}
					last := filepath.Join(t.TempDir(), name)
					if _, err := WriteCoder(third, last, format); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(b, treeBytes(t, filepath.Dir(last))) {
						t.Errorf("%s/%s as %s: the bytes change with every round", k.activation, k.norm, format)
					}
				}
			}
		}
	}
}

// treeBytes returns names and bytes of all files below dir.
func treeBytes(t *testing.T, dir string) []byte {
	t.Helper()
	var out []byte
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		out = append(append(append(out, filepath.Base(path)...), 0), raw...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCrosscoderScalesInFormats: scales move into the weights where the format has none, and the function stays.
func TestCrosscoderScalesInFormats(t *testing.T) {
	c := randomCrosscoder(t, 2, 4, 8, ActivationReLU, CodeNormCrosscoder)
	x := normals(4, 20*8)
	_, want, err := c.Reconstruct(x)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{FormatSoFCrosscoder, FormatKissaneCrosscoder} {
		path := filepath.Join(t.TempDir(), "x")
		notes, err := WriteCoder(c, path, format)
		if err != nil || len(notes) != 1 {
			t.Fatalf("%s: notes %v, %v", format, notes, err)
		}
		got, _, err := ReadCoder(path)
		if err != nil {
			t.Fatal(err)
		}
		_, y, err := got.Reconstruct(x)
		if err != nil {
			t.Fatal(err)
		}
		nearly(t, format+" reconstruction", y, want, 1e-5, 1e-5)
	}
}

// TestSoFNames: what torch.compile saved is read, and a missing norm is the tool's first.
func TestSoFNames(t *testing.T) {
	c := randomCrosscoder(t, 2, 4, 8, ActivationReLU, CodeNormCrosscoder)
	path := filepath.Join(t.TempDir(), "ae.pt")
	prefix := "_orig_mod."
	err := torchzip.Write(path, "ae", []safetensors.Tensor{
		safetensors.F32(prefix+"encoder.weight", []int{2, 4, 8}, c.WEnc), safetensors.F32(prefix+"encoder.bias", []int{8}, c.BEnc),
		safetensors.F32(prefix+"decoder.weight", []int{2, 8, 4}, swapAxes(c.WDec, 8, 2, 4)), safetensors.F32(prefix+"decoder.bias", []int{2, 4}, c.BDec),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, format, err := ReadCoder(path)
	if err != nil || format != FormatSoFCrosscoder {
		t.Fatalf("%s: %v", format, err)
	}
	nearly(t, "W_dec", got.(*Crosscoder).WDec, c.WDec, 0, 0)
	if _, _, err := Read(path); err == nil || !strings.Contains(err.Error(), "several sites") {
		t.Errorf("a crosscoder was read as an SAE: %v", err)
	}
}

// TestBadCrosscoders: each damage is an error that names its place, and nothing is allocated by what a header claims.
func TestBadCrosscoders(t *testing.T) {
	write := func(t *testing.T, format string) string {
		path := filepath.Join(t.TempDir(), "x")
		c := randomCrosscoder(t, 2, 4, 8, map[bool]string{true: ActivationBatchTopK, false: ActivationReLU}[format == FormatSoFCrosscoder], CodeNormCrosscoder)
		c.Scales = nil
		if _, err := WriteCoder(c, path, format); err != nil {
			t.Fatal(err)
		}
		return path
	}
	replace := func(t *testing.T, file string, tensor safetensors.Tensor) {
		f, err := safetensors.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		all := []safetensors.Tensor{tensor}
		for _, name := range f.Names() {
			if name != tensor.Name {
				info, _ := f.Info(name)
				raw, _ := f.Bytes(name)
				all = append(all, safetensors.Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: raw})
			}
		}
		if err := safetensors.Write(file, all, nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		format, want string
		damage       func(t *testing.T, dir string)
	}{
		"own: format": {FormatCrosscoder, "format is 2", func(t *testing.T, d string) { editJSON(t, filepath.Join(d, crosscoderConfigFile), setKey("format", 2)) }},
		"own: sizes": {FormatCrosscoder, "product below 2^31", func(t *testing.T, d string) {
			editJSON(t, filepath.Join(d, crosscoderConfigFile), setKey("d_sae", 1<<40))
		}},
		"own: shape": {FormatCrosscoder, "W_enc has shape [2 4 8], want [2 4 9]", func(t *testing.T, d string) { editJSON(t, filepath.Join(d, crosscoderConfigFile), setKey("d_sae", 9)) }},
		"own: norm":  {FormatCrosscoder, `code norm "x"`, func(t *testing.T, d string) { editJSON(t, filepath.Join(d, crosscoderConfigFile), setKey("norm", "x")) }},
		"own: cut":   {FormatCrosscoder, crosscoderWeightsFile, func(t *testing.T, d string) { cut(t, filepath.Join(d, crosscoderWeightsFile)) }},
		"own: scales": {FormatCrosscoder, "scales is missing", func(t *testing.T, d string) {
			editJSON(t, filepath.Join(d, crosscoderConfigFile), setKey("scaled", true))
		}},
		"sof: sizes disagree": {FormatSoFCrosscoder, "config.json says", func(t *testing.T, d string) { editJSON(t, filepath.Join(d, sofConfig), setKey("dict_size", 9)) }},
		"sof: norm id": {FormatSoFCrosscoder, "code_normalization_id is 6", func(t *testing.T, d string) {
			replace(t, filepath.Join(d, sofWeights), safetensors.I64("code_normalization_id", nil, []int64{6}))
		}},
		"sof: k": {FormatSoFCrosscoder, "k is 0", func(t *testing.T, d string) {
			replace(t, filepath.Join(d, sofWeights), safetensors.I32("k", nil, []int32{0}))
		}},
		"sof: threshold": {FormatSoFCrosscoder, "threshold has shape [2]", func(t *testing.T, d string) {
			replace(t, filepath.Join(d, sofWeights), safetensors.F32("threshold", []int{2}, []float32{1, 1}))
		}},
		"sof: decoder sites": {FormatSoFCrosscoder, "decoder.weight has shape [1 8 4]", func(t *testing.T, d string) {
			replace(t, filepath.Join(d, sofWeights), safetensors.F32("decoder.weight", []int{1, 8, 4}, make([]float32, 32)))
		}},
		"sof: not finite": {FormatSoFCrosscoder, "element 1 of tensor encoder.bias is NaN", func(t *testing.T, d string) {
			replace(t, filepath.Join(d, sofWeights), safetensors.F32("encoder.bias", []int{8}, []float32{0, float32(math.NaN()), 0, 0, 0, 0, 0, 0}))
		}},
		"sof: more": {FormatSoFCrosscoder, "tensor extra is not", func(t *testing.T, d string) {
			replace(t, filepath.Join(d, sofWeights), safetensors.F32("extra", []int{1}, []float32{0}))
		}},
		"kissane: sizes": {FormatKissaneCrosscoder, "the configuration says d 5", func(t *testing.T, d string) { editJSON(t, filepath.Join(d, kissaneConfig), setKey("d_in", 5)) }},
		"kissane: cut":   {FormatKissaneCrosscoder, kissaneWeights, func(t *testing.T, d string) { cut(t, filepath.Join(d, kissaneWeights)) }},
	} {
		dir := write(t, c.format)
		c.damage(t, dir)
		if _, _, err := ReadCoder(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func FuzzCrosscoderConfig(f *testing.F) {
	f.Add([]byte(`{"format": 1, "sites": 2, "d_in": 4, "d_sae": 8, "activation": "batchtopk", "norm": "decoupled", "k": 3, "scaled": true}`))
	f.Add([]byte(`{"format": 1, "sites": 1, "d_in": 1, "d_sae": 1, "activation": "topk", "norm": "mixed", "k": 1, "alpha_sae": 1e9}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m map[string]any
		if json.Unmarshal(raw, &m) != nil {
			return
		}
		c, err := parseCrosscoder(m)
		if err != nil {
			return
		}
		for _, s := range c.tensors() {
			n := 1
			for _, d := range s.shape {
				if d < 1 || n > math.MaxInt32/d {
					t.Fatalf("accepted the shape %v of %s", s.shape, s.name)
				}
				n *= d
			}
		}
	})
}

// FuzzSoF reads the header of a crosscoder with any configuration and any shapes.
func FuzzSoF(f *testing.F) {
	f.Add([]byte(`{"num_layers": 2, "code_normalization_alpha_cc": 1e400}`), 2, 4, 8, int64(3))
	f.Add([]byte(`{"activation_dim": 4}`), 0, -1, 1<<40, int64(-1))
	f.Fuzz(func(t *testing.T, raw []byte, a, b, c int, id int64) {
		var m map[string]any
		if json.Unmarshal(raw, &m) != nil {
			return
		}
		allocated := 0
		tensors := &foreign{
			shapes: map[string][]int{"encoder.weight": {a, b, c}, "decoder.weight": {a, c, b}, "encoder.bias": {c}, "decoder.bias": {a, b}, "code_normalization_id": {}},
			used:   map[string]bool{},
			ints:   func(string) ([]int64, error) { return []int64{id}, nil },
		}
		tensors.read = func(name string) ([]float32, error) {
			n := 1
			for _, d := range tensors.shapes[name] {
				n *= d
			}
			if allocated += n; n < 0 || allocated > 1<<16 {
				return nil, os.ErrInvalid
			}
			return make([]float32, n), nil
		}
		if x, err := fromSoF(tensors, m); err == nil {
			if err := x.Validate(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

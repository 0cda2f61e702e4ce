package tensorboard

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// crcBits is CRC-32C computed bit by bit from its definition: polynomial 0x1EDC6F41, reflected, inverted at both ends.
func crcBits(data []byte) uint32 {
	crc := ^uint32(0)
	for _, b := range data {
		crc ^= uint32(b)
		for range 8 {
			if crc&1 == 1 {
				crc = crc>>1 ^ 0x82F63B78
			} else {
				crc >>= 1
			}
		}
	}
	return ^crc
}

// unmask is the inverse of the mask, as TensorFlow's crc32c::Unmask.
func unmask(m uint32) uint32 {
	rot := m - 0xa282ead8
	return rot>>17 | rot<<15
}

// decoded is one event.
type decoded struct {
	time    float64
	step    int64
	version string
	values  map[string]float32
}

// decode reads an event file with the protobuf library's wire decoder and checks both checksums of every record.
func decode(t *testing.T, raw []byte) (out []decoded) {
	t.Helper()
	for len(raw) > 0 {
		n := binary.LittleEndian.Uint64(raw)
		if got := unmask(binary.LittleEndian.Uint32(raw[8:])); got != crcBits(raw[:8]) {
			t.Fatalf("the length's checksum is %08x, want %08x", got, crcBits(raw[:8]))
		}
		data := raw[12 : 12+n]
		if got := unmask(binary.LittleEndian.Uint32(raw[12+n:])); got != crcBits(data) {
			t.Fatalf("the data's checksum is %08x, want %08x", got, crcBits(data))
		}
		raw = raw[16+n:]
		e := decoded{values: map[string]float32{}}
		fields(t, data, func(num protowire.Number, wire protowire.Type, v []byte) {
			switch {
			case num == 1 && wire == protowire.Fixed64Type:
				x, _ := protowire.ConsumeFixed64(v)
				e.time = math.Float64frombits(x)
			case num == 2 && wire == protowire.VarintType:
				x, _ := protowire.ConsumeVarint(v)
				e.step = int64(x)
			case num == 3 && wire == protowire.BytesType:
				x, _ := protowire.ConsumeBytes(v)
				e.version = string(x)
			case num == 5 && wire == protowire.BytesType:
				x, _ := protowire.ConsumeBytes(v)
				e.addSummary(t, x)
			default:
				t.Fatalf("field %d of wire type %d in an event", num, wire)
			}
		})
		out = append(out, e)
	}
	return out
}

func (e *decoded) addSummary(t *testing.T, data []byte) {
	fields(t, data, func(num protowire.Number, wire protowire.Type, v []byte) {
		if num != 1 || wire != protowire.BytesType {
			t.Fatalf("field %d of wire type %d in a summary", num, wire)
		}
		value, _ := protowire.ConsumeBytes(v)
		tag, x := "", float32(math.NaN())
		fields(t, value, func(num protowire.Number, wire protowire.Type, v []byte) {
			switch {
			case num == 1 && wire == protowire.BytesType:
				b, _ := protowire.ConsumeBytes(v)
				tag = string(b)
			case num == 2 && wire == protowire.Fixed32Type:
				b, _ := protowire.ConsumeFixed32(v)
				x = math.Float32frombits(b)
			default:
				t.Fatalf("field %d of wire type %d in a value", num, wire)
			}
		})
		e.values[tag] = x
	})
}

// fields calls f for every field of a message.
func fields(t *testing.T, data []byte, f func(protowire.Number, protowire.Type, []byte)) {
	t.Helper()
	for len(data) > 0 {
		num, wire, n := protowire.ConsumeTag(data)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(num, wire, data[n:])
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		f(num, wire, data[n:n+size])
		data = data[n+size:]
	}
}

// sample writes a file and returns what it holds.
func sample(t *testing.T) (dir string, steps []int64, values []map[string]float64) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "topk-f64")
	w, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(300) {
		step := i * i * 1000 // beyond 32 bits
		v := map[string]float64{"fvu": 1 / float64(i+1), "loss": math.Exp(float64(i % 40)), "a name/with parts": -float64(i)}
		steps, values = append(steps, step), append(values, v)
		if err := w.Scalars(step, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, steps, values
}

func TestRoundTrip(t *testing.T) {
	dir, steps, values := sample(t)
	raw, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	events := decode(t, raw)
	if len(events) != len(steps)+1 || events[0].version != "brain.Event:2" {
		t.Fatalf("%d events, the first of version %q; want %d and brain.Event:2", len(events), events[0].version, len(steps)+1)
	}
	for i, e := range events[1:] {
		want := map[string]float32{}
		for name, v := range values[i] {
			want[name] = float32(v)
		}
		if e.step != steps[i] || e.time != float64(steps[i]) || !maps.Equal(e.values, want) {
			t.Fatalf("event %d is %+v, want step %d with %v", i, e, steps[i], want)
		}
	}
	again, _, _ := sample(t)
	if b, err := os.ReadFile(filepath.Join(again, FileName)); err != nil || string(b) != string(raw) {
		t.Errorf("the same values give other bytes (%v)", err)
	}
}

// TestChecksum pins the masked checksum to a value of RFC 3720 (B.4: 32 bytes of zeros have the CRC-32C 8a9136aa).
func TestChecksum(t *testing.T) {
	zeros := make([]byte, 32)
	if got := unmask(masked(zeros)); got != 0x8a9136aa || crcBits(zeros) != got {
		t.Errorf("the checksum of zeros is %08x, want 8a9136aa", got)
	}
}

// TestTensorBoardReads has TensorBoard itself read a file, where a Python with it is there.
func TestTensorBoardReads(t *testing.T) {
	python := os.Getenv("LOUPE_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import tensorboard.backend.event_processing.event_accumulator").Run(); err != nil {
		t.Skipf("%s has no tensorboard: %v", python, err)
	}
	dir, steps, values := sample(t)
	script := `import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
a = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0}); a.Reload()
print(json.dumps({tag: [[e.step, e.value] for e in a.Scalars(tag)] for tag in a.Tags()["scalars"]}))`
	cmd := exec.Command(python, "-c", script, dir)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var got map[string][][2]float64
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 {
		t.Fatalf("TensorBoard finds %d scalars, want 3", len(got))
	}
	for name, series := range got {
		if len(series) != len(steps) {
			t.Fatalf("%s has %d values, want %d", name, len(series), len(steps))
		}
		for i, p := range series {
			if int64(p[0]) != steps[i] || float32(p[1]) != float32(values[i][name]) {
				t.Fatalf("%s: value %d is %v, want %v at step %d", name, i, p, values[i][name], steps[i])
			}
		}
	}
	t.Logf("%s read %d values", python, 3*len(steps))
}

package model

import (
	"os"
	"path/filepath"
	"testing"

	"loupe/internal/graphtest"
)

// TestPadding: padding on either side gives the numbers of no padding, at every residual site of every family.
func TestPadding(t *testing.T) {
	root := filepath.Join(graphtest.Golden(t), "models", "tiny")
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	engine := NewEngine(graphtest.Backend(t), nil)
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		t.Run(d.Name(), func(t *testing.T) {
			m := tiny(t, engine, d.Name())
			s := m.Spec
			const n, seq = 7, 12
			ids := someIDs(3, n, s.Vocab)
			if s.Pooler == PoolerEOS {
				ids[n-1] = int32(s.EOS)
				if s.PoolLargestID {
					ids[n-1] = int32(s.Vocab - 1)
				}
			}
			captures := []Capture{{Site: Site{LastHidden, 0}}}
			for i := range s.Layers {
				captures = append(captures, Capture{Site: Site{ResidPre, i}}, Capture{Site: Site{Z, i}})
			}
			if s.Pooler != PoolerNone {
				captures = append(captures, Capture{Site: Site{Pooler, 0}})
			}
			bare := run(t, engine, m, Plan{Batch: 1, Seq: n, Captures: captures}, Inputs{IDs: ids})
			in := Inputs{IDs: make([]int32, 2*seq), Mask: make([]int32, 2*seq)}
			for i := range in.IDs {
				in.IDs[i] = int32(s.PadID)
			}
			starts := []int{0, seq - n} // row 0 is padded on the right, row 1 on the left
			for r, from := range starts {
				for i, id := range ids {
					in.IDs[r*seq+from+i], in.Mask[r*seq+from+i] = id, 1
				}
			}
			padded := run(t, engine, m, Plan{Batch: 2, Seq: seq, Captures: captures}, in)
			for _, c := range captures {
				want, got := values(t, bare.Site(c.Site)), values(t, padded.Site(c.Site))
				per := len(got) / 2
				for r, from := range starts {
					row := got[r*per : (r+1)*per]
					if c.Site.Kind != Pooler {
						width := per / seq
						row = row[from*width : (from+n)*width]
					}
					nearly(t, c.Site.String(), row, want, ForwardTolerance)
				}
			}
		})
	}
}

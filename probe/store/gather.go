package store

import (
	"fmt"
	"runtime"
	"sync"
)

// parallelBytes is the size of a batch from which a gather is worth several goroutines.
const parallelBytes = 1 << 20

// ahead is the number of rows whose pages are looked up together.
const ahead = 4

// Gather copies the given rows of a site into dst [len(rows), d], in their order. Rows are token rows for a token site
// and example rows for an example site. Float16 sites are brought back to their scale.
func (s *Store) Gather(dst []float32, site string, rows []int64) error {
	t, i, err := s.table(site)
	if err != nil {
		return err
	}
	d := t.sites[i].Dim()
	if len(dst) != len(rows)*d {
		return fmt.Errorf("store: gather %s: dst has %d values for %d rows of %d", site, len(dst), len(rows), d)
	}
	for _, r := range rows {
		if r < 0 || r >= t.rows {
			return fmt.Errorf("store: gather %s: row %d of %d", site, r, t.rows)
		}
	}
	parts := 1
	if len(dst)*4 >= parallelBytes {
		parts = min(runtime.GOMAXPROCS(0), 8)
	}
	var wg sync.WaitGroup
	for p := 1; p < parts; p++ {
		a, b := len(rows)*p/parts, len(rows)*(p+1)/parts
		wg.Go(func() { t.gather(dst[a*d:b*d], i, rows[a:b]) })
	}
	n := len(rows) / parts
	t.gather(dst[:n*d], i, rows[:n])
	wg.Wait()
	return nil
}

func (t *tableReader) gather(dst []float32, site int, rows []int64) {
	s := t.sites[site]
	d := s.Dim()
	if s.DType == Float16 {
		for k, row := range rows {
			v := t.find(row)
			r := row - v.start
			at := int(r&t.mask) * d
			fromHalf(dst[k*d:(k+1)*d], v.f16[site][r>>t.shift][at:at+d], s.Scale)
		}
		return
	}
	// Rows lie on pages of their own. Reading a value of several rows before copying any lets the processor look up
	// their pages at once instead of one after the other.
	var views [ahead][]float32
	var touched float32
	for len(rows) > 0 {
		n := min(len(rows), ahead)
		for k, row := range rows[:n] {
			v := t.find(row)
			r := row - v.start
			at := int(r&t.mask) * d
			views[k] = v.f32[site][r>>t.shift][at : at+d]
			touched += views[k][0]
		}
		for k := range n {
			copy(dst[k*d:(k+1)*d], views[k])
		}
		dst, rows = dst[n*d:], rows[n:]
	}
	runtime.KeepAlive(touched)
}

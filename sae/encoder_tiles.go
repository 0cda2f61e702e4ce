package sae

import (
	"math"

	"loupe/internal/matmul"
)

// tileEncoder scores the latents in Go, tile by tile: the scores of a tile are compared with the least that each row
// still needs while they lie in the cache, so that the [B, F] scores never exist.
type tileEncoder struct {
	cfg    Config
	x      []float32 // xc, [B, d]
	packed []float32 // xc in panels of matmul.TileRows
	blocks int       // units of parallel work
	all    tileSide  // every latent
	dead   tileSide  // those of AuxK
	topK   *tileTopK
	batch  *tileBatch // of batchtopk
	above  *tileAbove // of standard and jumprelu
	aux    *tileTopK
}

// blockPanels is the number of panels of rows that share one pass over the encoder, so that a panel of the encoder is read
// from memory once for all of them, and that stay in the second level of the cache.
const blockPanels = 8

func newTileEncoder(cfg Config) *tileEncoder {
	n, d := cfg.Batch, cfg.inWidth()
	e := &tileEncoder{cfg: cfg, x: make([]float32, n*d), packed: make([]float32, matmul.PackedLen(n, d, matmul.TileRows))}
	workers := workerCount()
	e.blocks = max(1, (e.rowPanels()/blockPanels+workers-1)/workers*workers)
	switch {
	case cfg.byBatch():
		e.batch = newTileBatch(n, e.blocks, cfg.batchK())
	case cfg.sparseReLU():
		e.above = newTileAbove(e.blocks, cfg.jumps())
	default:
		e.topK = newTileTopK(n, cfg.K, cfg.byMagnitude())
	}
	return e
}

func (e *tileEncoder) close() {}

func (e *tileEncoder) input() []float32 { return e.x }

func (e *tileEncoder) rowPanels() int {
	return (e.cfg.Batch + matmul.TileRows - 1) / matmul.TileRows
}

func (e *tileEncoder) publish(w weights) error {
	e.all.pack(e.cfg, w, nil)
	return nil
}

func (e *tileEncoder) choose() (Latents, float64, error) {
	d := e.cfg.inWidth()
	parallelEach(e.rowPanels(), func(_, p int) {
		lo, hi := p*matmul.TileRows*d, (p+1)*matmul.TileRows*d
		matmul.Pack(e.packed[lo:hi], e.x[lo:min(hi, len(e.x))], d, matmul.TileRows)
	})
	if e.batch != nil {
		lat, least := e.batch.run(func() { e.scan(&e.all, e.batch) })
		return lat, float64(least), nil
	}
	if e.above != nil {
		e.scan(&e.all, e.above)
		lat, _ := e.above.selector.keep(float32(math.Inf(-1)))
		return lat, 0, nil
	}
	e.topK.reset(nil, 0)
	e.scan(&e.all, e.topK)
	return e.topK.out, 0, nil
}

func (e *tileEncoder) among(w weights, dead []int32, k int) (Latents, error) {
	if e.aux == nil || e.aux.out.K != k {
		e.aux = newTileTopK(e.cfg.Batch, k, e.cfg.byMagnitude())
	}
	e.dead.pack(e.cfg, w, dead)
	e.aux.reset(dead, float32(math.Inf(-1)))
	e.scan(&e.dead, e.aux)
	return e.aux.out, nil
}

// scan shows every tile of a product to pick.
func (e *tileEncoder) scan(side *tileSide, pick tilePicker) {
	panels := e.rowPanels()
	d := e.cfg.inWidth()
	parallelEach(e.blocks, func(_, block int) {
		first, last := block*panels/e.blocks, (block+1)*panels/e.blocks
		limits := make([]float32, (last-first)*matmul.TileRows)
		pick.begin(block, first*matmul.TileRows, limits)
		for row := e.cfg.Batch - first*matmul.TileRows; row < len(limits); row++ {
			limits[row] = float32(math.Inf(1)) // rows that fill the last panel
		}
		t := &tile{}
		for col := 0; col < side.n; col += matmul.TileCols {
			w := side.panels[col*d : (col+matmul.TileCols)*d]
			c := side.columns(col)
			for p := first; p < last; p++ {
				limit := limits[(p-first)*matmul.TileRows : (p-first+1)*matmul.TileRows]
				matmul.Tile(&t.scores, e.packed[p*matmul.TileRows*d:(p+1)*matmul.TileRows*d], w)
				if finishTile(t, c, limit, e.cfg.byMagnitude()) {
					pick.take(block, p*matmul.TileRows, col, t, limit)
				}
			}
		}
		pick.end(block, first*matmul.TileRows, min(last*matmul.TileRows, e.cfg.Batch))
	})
}

// tilePicker takes from each tile of a product what a step needs. Its methods are called from several goroutines, each
// with blocks of its own.
type tilePicker interface {
	// begin fills in what the scores of a block's rows, from row on, must exceed.
	begin(block, row int, limits []float32)
	// take gets a tile with scores above the limits of its rows, which it may raise. The tile's first score is that of row
	// and of the col-th latent of the product.
	take(block, row, col int, t *tile, limits []float32)
	// end is called after the last tile of a block of rows lo to hi.
	end(block, lo, hi int)
}

// tile is a product of two panels as scores, and the columns of each row that exceeded its limit, as bits.
type tile struct {
	scores [matmul.TileRows * matmul.TileCols]float32
	hits   [matmul.TileRows]uint32
}

// tileSide is the latents' side of a product: latents in panels of matmul.TileCols.
type tileSide struct {
	n      int
	panels []float32
	bias   []float32 // padded with NaN, which exceeds no limit
	scale  []float32 // norms of the decoder rows; nil without RescaleByDecoder
	floor  []float32 // what a latent's scores must exceed; nil: nothing
}

// tileColumns are a side's numbers for the columns of a tile.
type tileColumns struct{ bias, scale, floor []float32 }

func (s *tileSide) columns(col int) tileColumns {
	part := func(x []float32) []float32 {
		if x == nil {
			return nil
		}
		return x[col : col+matmul.TileCols]
	}
	return tileColumns{part(s.bias), part(s.scale), part(s.floor)}
}

// pack takes over the weights of the listed latents; nil: all.
func (s *tileSide) pack(cfg Config, w weights, list []int32) {
	d, dOut := cfg.inWidth(), cfg.width()
	s.n = cfg.DSAE
	if list != nil {
		s.n = len(list)
	}
	size := matmul.PackedLen(s.n, 1, matmul.TileCols)
	if cap(s.bias) < size {
		s.panels, s.bias = make([]float32, size*d), make([]float32, size)
		if cfg.RescaleByDecoder {
			s.scale = make([]float32, size)
		}
		if cfg.jumps() {
			s.floor = make([]float32, size)
		}
	}
	s.panels, s.bias = s.panels[:size*d], s.bias[:size]
	for _, x := range []*[]float32{&s.scale, &s.floor} {
		if *x != nil {
			*x = (*x)[:size]
		}
	}
	parallelEach(size/matmul.TileCols, func(_, p int) {
		lo, hi := p*matmul.TileCols, min((p+1)*matmul.TileCols, s.n)
		rows := w.enc[min(lo, cfg.DSAE)*d : min(hi, cfg.DSAE)*d]
		if list != nil {
			rows = make([]float32, (hi-lo)*d)
		}
		for j := lo; j < lo+matmul.TileCols; j++ {
			if j >= hi {
				s.bias[j] = float32(math.NaN())
				continue
			}
			i := j
			if list != nil {
				i = int(list[j])
				copy(rows[(j-lo)*d:(j-lo+1)*d], w.enc[i*d:(i+1)*d])
			}
			s.bias[j] = w.bEnc[i]
			if s.scale != nil {
				s.scale[j] = norm2(w.dec[i*dOut : (i+1)*dOut])
			}
			if s.floor != nil { // a little less, since a score at the very end of the kernel may be rounded into it
				reach := jumpReach(cfg.JumpReLU.Kernel, cfg.JumpReLU.Bandwidth)
				s.floor[j] = float32(float64(max(w.more[0][i], 0)) - 1.0001*reach)
			}
		}
		matmul.Pack(s.panels[lo*d:(lo+matmul.TileCols)*d], rows, d, matmul.TileCols)
	})
}

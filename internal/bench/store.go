package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"loupe/probe/store"
)

// The peers' sizes: contexts of 128 tokens of width 768, shuffled batches of 4096 tokens, shards of 64 MiB.
const (
	storeCtx, storeWidth, storeBatch = 128, 768, 4096
	storeShardBytes                  = 64 << 20
	storeSite                        = "blocks.0.hook_resid_post"
)

// Store times writing, scanning and shuffled reads of stored activations, beside store_io.py: every read ends in the sum
// of its values, so that mapped pages are really read.
func Store() Kind {
	return Kind{Name: "store", Bench: "store_io", Cases: storeCases, Run: runStore}
}

func storeCases(o Options) []Case {
	var out []Case
	add := func(peer, task string) {
		f := []Field{{"task", task}, {"mib", o.MiB}, {"d", storeWidth}, {"ctx", storeCtx}, {"dtype", "float32"}}
		if task == "token_random" || task == "mixed" {
			f = append(f, Field{"B", storeBatch})
		}
		out = append(out, Case{peer, f})
	}
	for _, task := range []string{"write", "scan_cold", "scan_warm", "token_random", "mixed"} {
		add("loupe", task)
	}
	add("loupe-moments", "write")
	return out
}

// storeBench is the content of a scratch store.
type storeBench struct {
	x       []float32 // [tokens, width]
	ids     []int32
	tokens  int
	scratch string
	dir     string // of the store, below scratch
	moments bool
	threads int

	st     *store.Store
	cursor *store.Cursor
	random *rand.Rand
	rows   []int64
	values []float32
	total  float64 // of all values read
}

func newStoreBench(o Options, moments bool) (*storeBench, error) {
	contexts := o.MiB << 20 / (4 * storeWidth * storeCtx)
	s := &storeBench{
		tokens: contexts * storeCtx, moments: moments, threads: o.Threads, random: rand.New(rand.NewPCG(1, 1)),
		rows: make([]int64, storeBatch), values: make([]float32, storeBatch*storeWidth),
	}
	s.x = make([]float32, s.tokens*storeWidth)
	r := rand.New(rand.NewPCG(0, 0))
	for i := range s.x {
		s.x[i] = float32(r.NormFloat64())
	}
	s.ids = make([]int32, s.tokens)
	for i := range s.ids {
		s.ids[i] = int32(i)
	}
	var err error
	s.scratch, err = os.MkdirTemp(o.Dir, "loupe-store-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	s.dir = filepath.Join(s.scratch, "store")
	return s, nil
}

// write makes the whole store; the writer syncs every file.
func (s *storeBench) write(ctx context.Context) error {
	w, err := store.Create(s.dir, store.Spec{
		Model: store.Source{ID: "bench", Digest: "none"}, Tokenizer: "none", Corpus: store.Source{ID: "bench", Digest: "none"},
		Sites:      []store.Site{{Name: storeSite, Per: store.Token, Shape: []int{storeWidth}, DType: store.Float32}},
		ShardBytes: storeShardBytes, Moments: store.MomentOptions{Off: !s.moments},
	})
	if err != nil {
		return err
	}
	for from := 0; from < s.tokens; from += storeBatch {
		n := min(storeBatch, s.tokens-from)
		b := store.Batch{Rows: store.Rows{
			Doc: make([]int64, n), Pos: make([]int32, n), Token: s.ids[from : from+n], Sites: [][]float32{s.x[from*storeWidth : (from+n)*storeWidth]},
		}}
		for i := range n {
			b.Rows.Doc[i], b.Rows.Pos[i] = int64((from+i)/storeCtx), int32((from+i)%storeCtx)
		}
		for doc := from / storeCtx; doc < (from+n)/storeCtx; doc++ {
			b.Docs = append(b.Docs, store.Doc{ID: int64(doc)})
		}
		if err := w.Append(ctx, b); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return w.Finish(ctx)
}

// sumParallel adds all values on the given number of goroutines.
func sumParallel(x []float32, threads int) float64 {
	parts := make([]float64, threads)
	var wg sync.WaitGroup
	for t := range threads {
		wg.Go(func() { parts[t] = sumBlocks(x[len(x)*t/threads : len(x)*(t+1)/threads]) })
	}
	wg.Wait()
	return sum(parts)
}

// sumBlocks adds blocks of 8192 values in float32, as torch sums blocks, and the blocks in float64.
func sumBlocks(x []float32) float64 {
	total := 0.0
	for len(x) > 0 {
		n := min(len(x), 8192)
		total += float64(sum32(x[:n]))
		x = x[n:]
	}
	return total
}

// sum32Plain adds values in eight running sums.
func sum32Plain(x []float32) float32 {
	var s [8]float32
	for ; len(x) >= 8; x = x[8:] {
		b := (*[8]float32)(x)
		for i := range s {
			s[i] += b[i]
		}
	}
	total := float32(0)
	for _, v := range s {
		total += v
	}
	for _, v := range x {
		total += v
	}
	return total
}

func runStore(ctx context.Context, o Options, c Case) (fields []Field, err error) {
	s, err := newStoreBench(o, c.Peer == "loupe-moments")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close(), os.RemoveAll(s.scratch)) }()
	task := c.Get("task")
	if task != "write" {
		if err := errors.Join(s.write(ctx), s.openStore()); err != nil {
			return nil, err
		}
	}
	var took []float64
	tokens, fetched, count := 0, int64(0), 0
	for begun := time.Now(); ; {
		if err := errors.Join(ctx.Err(), s.prepare(task)); err != nil {
			return nil, err
		}
		before := diskReads()
		start := time.Now()
		n, err := s.step(ctx, task)
		if err != nil {
			return nil, err
		}
		seconds := time.Since(start).Seconds()
		if count++; count > o.Warmup || time.Since(begun).Seconds() > 5*o.Seconds {
			took = append(took, seconds)
			tokens += n
			fetched += diskReads() - before
		}
		if task == "mixed" && tokens < s.tokens {
			continue // a whole epoch, as the peers' whole fills of the buffer
		}
		if len(took) > 0 && (time.Since(begun).Seconds() >= o.Seconds || o.Steps > 0 && len(took) >= o.Steps) {
			break
		}
	}
	if math.IsNaN(s.total) {
		return nil, errors.New("bench: the values read sum to NaN")
	}
	rate := float64(tokens) / sum(took)
	return []Field{
		{"tokens_per_s", round(rate, 1)}, {"mib_per_s", round(rate*storeWidth*4/(1<<20), 1)}, {"store_mib", round(float64(len(s.x))*4/(1<<20), 1)},
		{"from_storage", round(float64(fetched)/(float64(tokens)*storeWidth*4), 3)}, {"repeats", len(took)}, {"timed_s", round(sum(took), 3)},
	}, nil
}

// prepare does what a step needs before the clock starts.
func (s *storeBench) prepare(task string) error {
	switch task {
	case "write":
		return os.RemoveAll(s.dir)
	case "scan_cold":
		return errors.Join(s.close(), dropCache(s.dir))
	}
	return nil
}

// step does the timed work of a task and returns the number of tokens.
func (s *storeBench) step(ctx context.Context, task string) (int, error) {
	switch task {
	case "write":
		return s.tokens, s.write(ctx)
	case "scan_cold":
		return s.tokens, errors.Join(s.openStore(), s.scan(ctx))
	case "scan_warm":
		return s.tokens, s.scan(ctx)
	case "token_random":
		for i := range s.rows {
			s.rows[i] = s.random.Int64N(int64(s.tokens))
		}
		if err := s.st.Gather(s.values, storeSite, s.rows); err != nil {
			return 0, err
		}
	case "mixed":
		if s.cursor == nil {
			var err error
			if s.cursor, err = s.st.Shuffle(store.ShuffleConfig{Seed: 1}); err != nil {
				return 0, err
			}
		}
		if err := s.cursor.Batch(s.rows, []string{storeSite}, [][]float32{s.values}); err != nil {
			return 0, err
		}
	default:
		return 0, fmt.Errorf("bench: unknown task %q", task)
	}
	s.total += sumParallel(s.values, s.threads)
	return storeBatch, nil
}

func (s *storeBench) scan(ctx context.Context) error {
	return s.st.Scan(ctx, []string{storeSite}, func(c store.Chunk) error {
		s.total += sumParallel(c.Sites[0], s.threads)
		return nil
	})
}

func (s *storeBench) openStore() (err error) {
	s.st, err = store.Open(s.dir, store.OpenOptions{})
	return err
}

func (s *storeBench) close() error {
	if s.st == nil {
		return nil
	}
	st := s.st
	s.st = nil
	return st.Close()
}

// dropCache asks the kernel to forget the pages of every file below dir.
func dropCache(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(file.Sync(), unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED), file.Close())
	})
}

// diskReads is the number of bytes that this process has had read from storage, page faults included.
func diskReads() int64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "read_bytes:")
	n, err := strconv.ParseInt(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

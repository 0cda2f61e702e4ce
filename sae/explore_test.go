package sae

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"loupe/internal/graphtest"
)

func TestExplore(t *testing.T) {
	archs := os.Getenv("EXPLORE")
	if archs == "" {
		t.Skip()
	}
	get := func(name string, def float64) float64 {
		if v, err := strconv.ParseFloat(os.Getenv(name), 64); err == nil {
			return v
		}
		return def
	}
	b := graphtest.Backend(t)
	for _, arch := range strings.Split(archs, ",") {
		p, _ := NewPlanted(PlantedConfig{Dim: 64, Features: 256, Active: 8, Noise: 0.05, Zipf: get("ZIPF", 0), Seed: 1})
		arch, mode, _ := strings.Cut(arch, ":")
		cfg := DefaultConfig()
		cfg.Arch = arch
		cfg.K = 8
		if mode != "" {
			cfg.JumpReLU.Sparsity = mode
		}
		cfg.DeriveDefaults()
		cfg.DSAE = int(get("F", 256))
		cfg.Batch = int(get("BATCH", 1024))
		cfg.Tokens = int64(get("STEPS", 1000)) * int64(cfg.Batch)
		cfg.DeadTokens = 200_000
		cfg.LR = get("LR", 0)
		if v := get("BW", 0); v > 0 {
			cfg.JumpReLU.Bandwidth = v
		}
		if v := get("INIT", 0); v > 0 {
			cfg.JumpReLU.Init = v
		}
		if v := get("COEF", 0); v > 0 {
			cfg.SparsityCoef = v
		}
		if v := get("DECAY", -1); v >= 0 {
			cfg.Decay = v
		}
		if v := get("AUX", -1); v >= 0 {
			cfg.AuxCoef = v
		}
		if v := os.Getenv("DEC"); v != "" {
			cfg.Decoder = v
		}
		if v := os.Getenv("NORM"); v != "" {
			cfg.Normalize = v
		}
		cfg.JumpReLU.InitL0 = get("INITL0", cfg.JumpReLU.InitL0)
		cfg.InitDecoderNorm = get("DECNORM", cfg.InitDecoderNorm)
		cfg.ResampleTokens = int64(get("RESAMPLE", 0))
		if v := get("PREACT", -1); v >= 0 {
			cfg.JumpReLU.PreActCoef = v
		}
		if v := get("B1", -1); v >= 0 {
			cfg.Beta1 = v
		}
		if v := get("TARGET", -1); v >= 0 {
			cfg.TargetL0 = v
		}
		cfg.CheckpointTokens = 1 << 40
		if os.Getenv("ENGINE") != "" {
			cfg.Engine = os.Getenv("ENGINE")
		} else {
			cfg.Engine = EngineDense
			if supports(cfg, EngineHybrid) {
				cfg.Engine = EngineHybrid
			}
		}
		cfg.Seed = uint64(get("SEED", 0))
		cfg, err := cfg.Resolve(64)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := Start(b, cfg, p)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		start := time.Now()
		var last StepStats
		every := cfg.Steps() / 8
		err = tr.Train(t.Context(), p, TrainOptions{OnStep: func(s StepStats) error {
			last = s
			if os.Getenv("V") != "" && s.Step%every == 0 {
				snap, _ := tr.eng.snapshot()
				fmt.Printf("  %d FVU %.4f L0 %.2f coef %.3g dead %d gn %.3g rec %.3f\n", s.Step, s.FVU, s.L0, s.Coef, s.Dead, s.GradNorm, p.Recovered(exported(cfg, snap.w), 0.95))
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := tr.SAE()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s:%s F %d lr %.2g FVU %.4f L0 %v dead %d rec.95 %.3f rec.9 %.3f  %.1fs\n", arch, mode, cfg.DSAE, cfg.LR, last.FVU, tr.AchievedL0().Mean, last.Dead, p.Recovered(s, 0.95), p.Recovered(s, 0.9), time.Since(start).Seconds())
	}
}

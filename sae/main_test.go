package sae

import (
	"fmt"
	"os"
	"testing"
)

// TestMain turns off the optimisation of compiled programs, unless XLA_FLAGS says something: most of the time of these tests is
// compiling, of which it takes two thirds. The commands' tests and the experiments train with it.
func TestMain(m *testing.M) {
	if os.Getenv("XLA_FLAGS") == "" {
		if err := os.Setenv("XLA_FLAGS", "--xla_backend_optimization_level=0"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}
